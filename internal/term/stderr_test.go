//go:build unix

package term

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestDivertStderr(t *testing.T) {
	old := os.Stderr
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stderr = w
	defer func() { os.Stderr = old }()
	held := os.Stderr // as a login program holds it
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	restore, err := DivertStderr(file)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(held, "while the screen is up\n")
	restore()
	io.WriteString(held, "after\n")
	w.Close()
	seen, _ := io.ReadAll(r)
	kept, _ := os.ReadFile(file.Name())
	if string(seen) != "after\n" || string(kept) != "while the screen is up\n" {
		t.Errorf("terminal got %q, file got %q", seen, kept)
	}
}
