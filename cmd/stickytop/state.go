package main

import (
	"os"
	"path/filepath"
	"runtime"
)

// stateDir is where this program keeps what is not worth a backup: below
// XDG_STATE_HOME by the XDG base directory specification, which wants an
// absolute path, else where the system has such things.
func stateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "stickytop"), nil
	}
	if runtime.GOOS != "linux" {
		dir, err := os.UserConfigDir()
		return filepath.Join(dir, "stickytop"), err
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "state", "stickytop"), err
}
