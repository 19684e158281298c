package main

// commands are all there are, in the order in which usage shows them.
var commands = []command{
	{"keys list", "shows the keys, and which one seals", keysList},
	{"version", "shows the version of this program", version},
}
