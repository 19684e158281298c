package main

// commands are all there are, in the order in which usage shows them.
var commands = []command{
	{"keys list", "shows the keys, and which one seals", keysList},
	{"sessions list", "shows the living sessions of a subject", sessionsList},
	{"revoke", "ends sessions", revoke},
	{"revocations", "shows the log of revocations, the oldest first", revocations},
	{"inspect", "says what a cookie or token is, and whether it would be refused", inspect},
	{"doctor", "looks for what is wrong", doctor},
	{"restored", "ends all sessions after the store was restored from a backup", restored},
	{"version", "shows the version of this program", version},
}
