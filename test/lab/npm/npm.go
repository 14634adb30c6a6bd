// Package npm holds the Node.js workloads' scripts and lock file.
package npm

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
)

// Files are what the workloads are installed from.
//
//go:embed *.js *.json
var Files embed.FS

// Key names the files' content: a changed script or lock file is installed anew.
func Key() string {
	hash := sha256.New()
	entries, err := fs.ReadDir(Files, ".")
	if err != nil {
		panic(err) // an embedded folder is always there
	}
	for _, e := range entries {
		data, err := Files.ReadFile(e.Name())
		if err != nil {
			panic(err)
		}
		hash.Write([]byte(e.Name()))
		hash.Write([]byte{0})
		hash.Write(data)
	}
	return hex.EncodeToString(hash.Sum(nil))[:12]
}
