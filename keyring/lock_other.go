//go:build !windows && (!unix || solaris || aix)

package keyring

import (
	"errors"
	"os"
)

func tryLock(*os.File) (bool, error) {
	return false, errors.New("this system has no file locks that the ring can use; keep the key set in the store")
}
