package main

import "strings"

// deviceLabel names a device by its User-Agent, for a list that people read. It
// is a guess, and any client can send any User-Agent: the label proves nothing.
func deviceLabel(agent string) string {
	program := firstIn(agent, [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"Chrome/", "Chrome"}, {"CriOS/", "Chrome"}, {"Safari/", "Safari"},
		{"curl/", "curl"}, {"Go-http-client/", "a Go program"},
	})
	if program == "" {
		// The product's name and version, as defined in RFC 9110 section
		// 10.1.5.
		program, _, _ = strings.Cut(agent, " ")
		if len(program) > 40 || program == "" {
			program = "Unknown device"
		}
	}
	system := firstIn(agent, [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"},
		{"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"},
	})
	if system == "" {
		return program
	}
	return program + " on " + system
}

func firstIn(text string, patterns [][2]string) string {
	for _, pattern := range patterns {
		if strings.Contains(text, pattern[0]) {
			return pattern[1]
		}
	}
	return ""
}
