package revocation

import "github.com/waferkit/wafer/store"

func (l *List) Missing(from *List) []store.Entry { return nil }
