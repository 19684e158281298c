package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// errReplica is returned if the server is a replica: its data may be long out of
// date.
var errReplica = errors.New("the server is a replica, by its answer to ROLE; the master was not asked")

// queryRole adds ROLE to a pipeline, before all other commands. A server that is
// demoted keeps its connections and answers with the data that it had, so the role
// is queried every time. ROLE comes first because whatever is read after the reply
// "master" is no older than that reply.
func queryRole(ctx context.Context, pipe goredis.Pipeliner) *goredis.Cmd {
	return pipe.Do(ctx, "ROLE")
}

// checkMaster returns an error unless the reply to ROLE is that of a master. The
// other replies of the pipeline must then be discarded. A proxy without the command
// passes: it finds the master itself.
func checkMaster(role *goredis.Cmd) error {
	reply, err := role.Slice()
	if err != nil {
		if isReply(err) && strings.HasPrefix(err.Error(), "ERR unknown command") {
			return nil
		}
		return fmt.Errorf("ask the server for its role: %w", err)
	}
	if len(reply) == 0 || reply[0] != "master" {
		return errReplica
	}
	return nil
}
