package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// errReplica: what the server says may be long out of date.
var errReplica = errors.New("the server is a replica, by its answer to ROLE; the master was not asked")

// askRole puts the question in front of a pipeline. A server that is demoted
// keeps its connections and answers what it had, so who once was a master is
// asked each time. In front: what was read after "master" was answered is no
// older than that answer.
func askRole(ctx context.Context, pipe goredis.Pipeliner) *goredis.Cmd {
	return pipe.Do(ctx, "ROLE")
}

// notMaster is the error that makes every answer of the pipeline worthless. A
// proxy that does not know the command finds the master itself.
func notMaster(role *goredis.Cmd) error {
	answer, err := role.Slice()
	if err != nil {
		if isReply(err) && strings.HasPrefix(err.Error(), "ERR unknown command") {
			return nil
		}
		return fmt.Errorf("ask the server for its role: %w", err)
	}
	if len(answer) == 0 || answer[0] != "master" {
		return errReplica
	}
	return nil
}
