// Package sqlite is the embedded engine. It keeps families, revocations and the
// key set's document in one SQLite file, which several processes on one machine
// may share. It is pure Go.
//
//	db, err := sqlite.Open(ctx, "data/wafer.db", sqlite.Options{})
//	defer db.Close()
//
// A write is on disk when its call returns: the file is in WAL mode with full
// synchronisation. Writes that are waiting are committed together, so many at
// once cost little more than one. The file must be on a local file system whose
// locks and syncs work. A network file system will not do.
//
// [Open] creates a missing file with mode 0600, whole or not at all. (A kill
// meanwhile can leave files named .NAME.* beside it; remove those.) Open returns
// an error if the file exists but is empty, belongs to another program, or has a
// schema of a later release or from before the first one: the engine never starts
// afresh in place of an existing store.
package sqlite
