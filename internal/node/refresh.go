package node

import (
	"context"

	"github.com/waferkit/wafer/refresh"
)

// ReasonLost is why a refresh is refused if the store lets a family live that
// this node knows to be revoked.
const ReasonLost refresh.Reason = "revoked, though the store has lost that"

// Refresh judges a refresh token and carries the verdict out, see
// [refresh.Refresher.Do]. It holds the answer against what this node knows to be
// revoked: a shared flight may have read the store before a revocation returned
// here, so Refresh asks once more. A family that the store then still lets live
// has lost its revocation.
func (n *Node) Refresh(ctx context.Context, q refresh.Request) (refresh.Result, error) {
	for turn := 0; ; turn++ {
		res, err := n.refresher.Do(ctx, q)
		if err != nil {
			return res, n.Unavailable(q.Family, err)
		}
		if res.Verdict != refresh.Issue {
			n.refuseReplayed(q, res)
			return res, nil
		}
		n.Learn(res.Snapshot.Head)
		if !n.Dead(&res.Snapshot.Family) {
			return res, nil
		}
		if turn == 1 {
			res.Verdict, res.Reason = refresh.Refuse, ReasonLost
			return res, nil
		}
	}
}

// Look judges a refresh token and writes nothing but the end of a replayed
// family, see [refresh.Refresher.Look].
func (n *Node) Look(ctx context.Context, q refresh.Request) (refresh.Result, error) {
	res, err := n.refresher.Look(ctx, q)
	if err != nil {
		return res, n.Unavailable(q.Family, err)
	}
	n.refuseReplayed(q, res)
	return res, nil
}

// refuseReplayed refuses on this node a family that a replay has just ended.
func (n *Node) refuseReplayed(q refresh.Request, res refresh.Result) {
	if res.Verdict == refresh.Replay {
		n.refuse(q.Family, res.Entry)
	}
}
