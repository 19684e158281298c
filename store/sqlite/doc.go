// Package sqlite is the embedded engine: families, revocations and the key
// set's document in one SQLite file, which several processes of one machine may
// share. It is pure Go.
//
//	db, err := sqlite.Open(ctx, "data/wafer.db", sqlite.Options{})
//	defer db.Close()
//
// What a call has returned is on disk: the file is in WAL mode with full
// synchronisation. Writers that wait are committed together, so many at once
// cost little more than one. The file must be on a local file system whose
// locks and syncs work; a network file system will not do.
//
// A file that is not there is made, with mode 0600, whole or not at all. (A kill
// in the middle can leave files named .NAME.* beside it; remove those.) One
// that is there but empty, of another program, or of a later schema is an
// error: the engine never begins from nothing where something was.
package sqlite
