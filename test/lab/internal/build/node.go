package build

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
	"github.com/kubestickytop/stickytop/test/lab/npm"
)

// node installs the Node.js workloads and their modules, whose versions and hashes the lock file fixes.
func (b *builder) node(ctx context.Context) error {
	dir := layout.NodeDir(b.cache)
	entries, err := fs.ReadDir(npm.Files, ".")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		data, err := npm.Files.ReadFile(e.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), data, 0o644); err != nil {
			return err
		}
	}
	_, err = b.run(ctx, dir, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	return err
}
