package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/keyring/passphrase"
)

// The environment variables of a passphrase, for use without a terminal. A change
// of passphrase needs both.
const (
	passphraseVariable    = "WAFER_PASSPHRASE"
	newPassphraseVariable = "WAFER_NEW_PASSPHRASE"
)

// openPassphrase opens the keeper of a passphrase. The passphrase is the first
// line of the file at path if that is not empty, else the value of
// passphraseVariable, else typed at the terminal.
func (f *flags) openPassphrase(path string) (keyring.Keeper, error) {
	if path != "" {
		return passphrase.Open(path)
	}
	if text := f.env.getenv(passphraseVariable); text != "" {
		return passphrase.New(text)
	}
	text, err := f.askSecret("Passphrase of the ring: ", passphraseVariable)
	if err != nil {
		return nil, err
	}
	return passphrase.New(text)
}

// makeKeeper opens the keeper that the flag names, for a document that it has not
// sealed before: it makes the key file if that is absent, and has a passphrase
// typed twice. made is the path of the file that it made, or "".
func (f *flags) makeKeeper(flag, name, ring, variable string) (k keyring.Keeper, made string, err error) {
	if name == "" && ring != "store:" {
		name = "file:" + ring + ".key"
	}
	switch kind, rest, _ := strings.Cut(name, ":"); {
	case name == "":
		return nil, "", f.usageError("--%s is missing: a ring in the store needs it", flag)
	case kind == "file" && rest != "":
		k, err = keyring.CreateKeeper(rest)
		if errors.Is(err, fs.ErrExist) {
			k, err = keyring.OpenKeeper(rest)
			return k, "", err
		}
		return k, rest, err
	case name == "passphrase:":
		k, err = f.newPassphrase(variable)
		return k, "", err
	case kind == "env" && rest != "", kind == "passphrase" && rest != "":
		k, err = f.openKeeper(name, ring)
		return k, "", err
	}
	return nil, "", f.usageError("--%s %q: want file:PATH, env:NAME, passphrase:FILE or passphrase:", flag, name)
}

func (f *flags) newPassphrase(variable string) (keyring.Keeper, error) {
	if text := f.env.getenv(variable); text != "" {
		return passphrase.New(text)
	}
	text, err := f.askSecret("New passphrase of the ring: ", variable)
	if err != nil {
		return nil, err
	}
	k, err := passphrase.New(text)
	if err != nil {
		return nil, err
	}
	again, err := f.askSecret("The same again: ", variable)
	if err != nil {
		return nil, err
	}
	if again != text {
		return nil, errors.New("the two passphrases are not the same")
	}
	return k, nil
}

// askSecret asks the user for a secret at the terminal, without echo.
func (f *flags) askSecret(prompt, variable string) (string, error) {
	if !f.env.terminal {
		return "", fmt.Errorf("nobody is there to ask for the passphrase: name its file, as passphrase:FILE, or set %s", variable)
	}
	fmt.Fprint(f.env.stderr, prompt)
	defer fmt.Fprintln(f.env.stderr)
	if terminal, ok := f.env.stdin.(*os.File); ok {
		b, err := term.ReadPassword(int(terminal.Fd()))
		return string(b), err
	}
	return readLine(f.env.stdin)
}

// readLine reads a line and nothing after it: the next line answers the next
// prompt.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) <= passphrase.MaxLength; {
		n, err := r.Read(b)
		if n == 1 && b[0] == '\n' {
			break
		}
		line = append(line, b[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", err
		}
	}
	return strings.TrimSuffix(string(line), "\r"), nil
}
