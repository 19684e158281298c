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

// The variables that a passphrase comes from where nobody is there to type it.
// A change of passphrase needs both at once.
const (
	passphraseVariable    = "WAFER_PASSPHRASE"
	newPassphraseVariable = "WAFER_NEW_PASSPHRASE"
)

// openPassphrase opens the keeper of a passphrase: from the first line of the
// file, or the variable, or whoever sits at the terminal.
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

// makeKeeper opens the keeper that the flag names for a document that it is to
// seal for the first time: the key file is made where it is absent, and a
// passphrase is typed twice. made is the file that was made, or empty.
func (f *flags) makeKeeper(flag, name, ring, variable string) (k keyring.Keeper, made string, err error) {
	if name == "" && ring != "store:" {
		name = "file:" + ring + ".key"
	}
	switch kind, rest, _ := strings.Cut(name, ":"); {
	case name == "":
		return nil, "", f.wrong("--%s is missing: a ring in the store needs it", flag)
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
	return nil, "", f.wrong("--%s %q: want file:PATH, env:NAME, passphrase:FILE or passphrase:", flag, name)
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

// askSecret asks whoever sits at the terminal, which does not show the answer.
func (f *flags) askSecret(question, variable string) (string, error) {
	if !f.env.terminal {
		return "", fmt.Errorf("nobody is there to ask for the passphrase: name its file, as passphrase:FILE, or set %s", variable)
	}
	fmt.Fprint(f.env.stderr, question)
	defer fmt.Fprintln(f.env.stderr)
	if terminal, ok := f.env.stdin.(*os.File); ok {
		b, err := term.ReadPassword(int(terminal.Fd()))
		return string(b), err
	}
	return readLine(f.env.stdin)
}

// readLine reads a line and nothing behind it: that is the next answer.
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
