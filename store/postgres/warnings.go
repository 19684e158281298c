package postgres

import "fmt"

// Warnings returns a sentence for each setting that can lose acknowledged writes.
// If there is none, a crash loses no acknowledged write, and neither does a
// failover, as far as the server knows its standbys.
func (d Durability) Warnings() []string {
	var w []string
	if !d.FullPageWrites {
		w = append(w, "full_page_writes is off: a crash of the machine can spoil pages, unless the file system writes them whole; turn it on")
	}
	switch {
	case d.StandbyNames == "" && d.Standbys > 0:
		w = append(w, fmt.Sprintf("none of the %d standbys is synchronous: a failover loses what they have not received; nodes write back the revocations that they hold; synchronous_standby_names keeps them", d.Standbys))
	case d.StandbyNames != "" && d.SynchronousCommit == "local":
		w = append(w, "synchronous_commit is local: no standby is waited for, and a failover loses what they have not received; set it to on")
	case d.StandbyNames != "" && d.SynchronousCommit == "remote_write":
		w = append(w, "synchronous_commit is remote_write: a failover after a crash of the standby's machine as well loses what that had not flushed; set it to on")
	}
	return w
}
