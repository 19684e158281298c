package main

// commands lists all commands, in the order of the usage text.
var commands = []command{
	{"keys list", "shows the keys, and which one seals", keysList},
	{"keys create", "makes a key set, of fresh keys or of the secrets in variables", keysCreate},
	{"keys rotate", "publishes the next key, hands over to it, drops what has ended", keysRotate},
	{"keys prune", "drops the keys under which nothing can live", keysPrune},
	{"keys revoke", "rejects everything under a key; after a compromise, everyone", keysRevoke},
	{"keys move", "makes a key set elsewhere hold the same keys", keysMove},
	{"keys rewrap", "seals the key set under another keeper", keysRewrap},
	{"keys export-jwks", "prints the public keys that verify access tokens", keysExportJWKS},
	{"keys adopt", "makes the store go on with a key set that was replaced or put back", keysAdopt},
	{"realm set", "makes the store belong to another realm", realmSet},
	{"sessions list", "shows the living sessions of a subject, or of everybody", sessionsList},
	{"revoke", "ends sessions", revoke},
	{"revocations", "shows the log of revocations, the oldest first", revocations},
	{"inspect", "says what a cookie or token is, and whether it would be refused", inspect},
	{"doctor", "looks for what is wrong", doctor},
	{"restored", "ends all sessions after the store was restored from a backup", restored},
	{"schema", "prints the SQL that makes or migrates a Postgres store", schema},
	{"version", "shows the version of this program", version},
}
