package sqlite_test

func peerChild(args []string) error { return nil }
