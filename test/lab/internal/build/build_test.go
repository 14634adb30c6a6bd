package build

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestEstimate(t *testing.T) {
	for _, c := range []struct {
		done, todo int
		took       time.Duration
		want       string
	}{
		{5, 1000, 10 * time.Second, "5 of 1000 packages after 10s, too early to say how long"},
		{250, 1000, 60 * time.Second, "250 of 1000 packages after 1m0s, about 3m0s to go at this rate, then linking"},
		{1000, 1000, 4 * time.Minute, "1000 packages compiled in 4m0s, linking"},
		{0, 0, time.Second, "0 packages compiled in 1s, linking"},
	} {
		if got := estimate(c.done, c.todo, c.took); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// TestMissing wants every step missing from an empty cache, and a step with its file no more.
func TestMissing(t *testing.T) {
	cache := t.TempDir()
	all := Missing(cache)
	if got := strings.Join(all, ","); got != "etcd,kube-apiserver,kube-controller-manager,kube-proxy,traefik,node workloads" {
		t.Errorf("missing from nothing: %s", got)
	}
	b := &builder{cache: cache}
	etcd := b.steps()[0].file
	if err := writeFiles(cache, map[string]string{strings.TrimPrefix(etcd, cache+string(os.PathSeparator)): ""}); err != nil {
		t.Fatal(err)
	}
	if got := Missing(cache); len(got) != len(all)-1 || got[0] != "kube-apiserver" {
		t.Errorf("with etcd there: %v", got)
	}
}

func TestStagingModulesAreFound(t *testing.T) {
	mod := "replace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tk8s.io/cri-client => ./staging/src/k8s.io/cri-client\n\texample.com/x => ../x\n)\n"
	got := stagingReplace.FindAllStringSubmatch(mod, -1)
	if len(got) != 2 || got[0][1] != "k8s.io/api" || got[1][1] != "k8s.io/cri-client" {
		t.Errorf("found %v", got)
	}
}
