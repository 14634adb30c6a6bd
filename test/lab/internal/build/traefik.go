package build

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

// Three things stand in the way of a plain build of Traefik outside its own tree: an extension module that exists
// only as a folder of that tree (ours is empty, as an extension point may be), ACME's DNS providers, and a fork of
// go-http-auth, whose modules the proxies do not all serve. The lab needs none of them: an overlay leaves them out.
const (
	traefikModule = "github.com/traefik/traefik/v3"
	legoModule    = "github.com/go-acme/lego/v5"
	legoVersion   = "v5.4.1"
	authModule    = "github.com/abbot/go-http-auth"
	authVersion   = "v0.4.0"
	muxFork       = "github.com/containous/mux@v0.0.0-20250523120546-41b6ec3aed59"
)

var traefikFiles = map[string]string{
	"tools.go":   "//go:build tools\n\npackage tools\n\nimport _ \"" + traefikModule + "/cmd/traefik\"\n",
	"ext/go.mod": "module github.com/traefik/traefik/dynamic/ext\n\ngo 1.24\n",
	"ext/ext.go": "package ext\n\ntype HTTP struct{}\n\ntype Router struct{}\n",
	"dns.go.txt": `package dns

import (
	"fmt"

	"github.com/go-acme/lego/v5/challenge"
)

// NewDNSChallengeProviderByName knows no provider: the lab issues no certificates.
func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	return nil, fmt.Errorf("no DNS provider %q", name)
}
`,
	"auth.go.txt": `package auth

import "net/http"

// CheckSecret accepts nothing: the lab uses no basic auth.
func CheckSecret(password, secret string) bool { return false }

// RequireAuthStale refuses: the lab uses no digest auth.
func (a *DigestAuth) RequireAuthStale(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusUnauthorized)
}
`,
	"auth.mod.txt": "module " + authModule + "\n",
}

func (b *builder) traefik(ctx context.Context) error {
	dir := filepath.Join(b.cache, "src", "traefik-"+layout.Traefik)
	if !exists(filepath.Join(dir, ".ready")) {
		if err := b.traefikWorkspace(ctx, dir); err != nil {
			return err
		}
	}
	source, err := b.moduleDir(ctx, dir, traefikModule+"@"+layout.Traefik)
	if err != nil {
		return err
	}
	crds, err := os.ReadFile(filepath.Join(source, "docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(layout.TraefikDir(b.cache), "crds.yaml"), crds, 0o644); err != nil {
		return err
	}
	return b.compile(ctx, dir, layout.Binary(b.cache, "traefik"), traefikModule+"/cmd/traefik", "-mod=mod", "-overlay=overlay.json")
}

func (b *builder) traefikWorkspace(ctx context.Context, dir string) error {
	fmt.Fprintln(b.out, "      downloading modules")
	// go.mod is written anew: what an interrupted go command left in it may not fit.
	if err := writeFiles(dir, map[string]string{"go.mod": "module lab/traefik\n"}); err != nil {
		return err
	}
	if err := writeFiles(dir, traefikFiles); err != nil {
		return err
	}
	// The go command takes no overlay for files in its module cache; through links they are elsewhere.
	for link, module := range map[string]string{"lego": legoModule + "@" + legoVersion, "goauth": authModule + "@" + authVersion} {
		target, err := b.moduleDir(ctx, dir, module)
		if err != nil {
			return err
		}
		os.Remove(filepath.Join(dir, link))
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			return err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(dir, "lego/providers/dns/zz_gen_dns_providers.go"): filepath.Join(dir, "dns.go.txt"),
		filepath.Join(dir, "goauth/go.mod"):                              filepath.Join(dir, "auth.mod.txt"),
		filepath.Join(dir, "goauth/lab_stub.go"):                         filepath.Join(dir, "auth.go.txt"),
	}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o644); err != nil {
		return err
	}
	_, err = b.run(ctx, dir, "go", "mod", "edit", "-require="+traefikModule+"@"+layout.Traefik,
		"-replace=github.com/traefik/traefik/dynamic/ext=./ext", "-replace=github.com/gorilla/mux="+muxFork,
		"-replace="+authModule+"=./goauth", "-replace="+legoModule+"=./lego",
		"-exclude=github.com/tencentcloud/tencentcloud-sdk-go@v3.0.83+incompatible")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, ".ready"), nil, 0o644)
}
