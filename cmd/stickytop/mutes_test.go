package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/demo"
	"github.com/kubestickytop/stickytop/internal/ui"
)

var (
	muteB10 = ui.Mute{MuteKey: ui.MuteKey{Rule: "B10", Namespace: "msgapp", Object: "ingress/msgapp"}, Worst: affinity.SeverityHigh}
	muteD01 = ui.Mute{MuteKey: ui.MuteKey{Rule: "D01", Namespace: "msgapp", Object: "ingress/msgapp"}, Worst: affinity.SeverityOK}
)

// muting returns a store that has read its file.
func muting(t *testing.T, context string) *muteStore {
	t.Helper()
	s := newMutes(place{context: context})
	done(t, s)
	return s
}

func done(t *testing.T, s *muteStore) {
	t.Helper()
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
}

func wantMutes(t *testing.T, s *muteStore, want ...ui.Mute) {
	t.Helper()
	state := s.State()
	if !slices.Equal(state.All, want) || state.Trouble != "" || !state.Lasting {
		t.Errorf("%s: %+v, want %+v", s.place, state, want)
	}
}

func TestMutesOutliveTheProgram(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", dir)
	s := muting(t, "prod")
	wantMutes(t, s)
	if _, err := os.Stat(filepath.Join(dir, "stickytop")); err == nil {
		t.Error("something was written before anything was muted")
	}
	s.Mute(muteB10)
	s.Mute(muteD01)
	wantMutes(t, s, muteB10, muteD01) // at once
	done(t, s)
	wantMutes(t, muting(t, "prod"), muteB10, muteD01)
	wantMutes(t, muting(t, "test"))

	other := muting(t, "test")
	other.Mute(muteD01)
	other.Unmute(muteB10.MuteKey)
	done(t, other)
	s = muting(t, "prod")
	s.Unmute(muteD01.MuteKey)
	done(t, s)
	wantMutes(t, muting(t, "prod"), muteB10)
	wantMutes(t, muting(t, "test"), muteD01)

	files := 0
	err := filepath.WalkDir(filepath.Join(dir, "stickytop"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		files++
		if info, err := d.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v (%v)", path, info.Mode(), err)
		}
		return nil
	})
	if err != nil || files != 3 {
		t.Errorf("%d entries, want the folder, the file and its lock: %v", files, err)
	}
}

// TestMutesOfOneName: two clusters whose contexts have one name do not share
// their mutes; those of a file that tells no cluster are everybody's, as they
// were.
func TestMutesOfOneName(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", dir)
	of := func(server string) *muteStore {
		s := newMutes(place{"default", server})
		done(t, s)
		return s
	}
	old := of("") // as it was written before
	old.Mute(muteB10)
	done(t, old)
	one := of("https://one:6443")
	one.Mute(muteD01)
	done(t, one)
	wantMutes(t, of("https://one:6443"), muteB10, muteD01)
	wantMutes(t, of("https://two:6443"), muteB10)

	two := of("https://two:6443")
	two.Unmute(muteD01.MuteKey) // not its own
	worse := muteB10
	worse.Worst = affinity.SeverityOK
	two.Mute(worse)
	done(t, two)
	wantMutes(t, of("https://one:6443"), muteB10, muteD01)
	wantMutes(t, of("https://two:6443"), worse)
	one.Unmute(muteB10.MuteKey)
	done(t, one)
	wantMutes(t, of("https://one:6443"), muteD01)
	wantMutes(t, of("https://two:6443"), worse)
}

func TestClusterID(t *testing.T) {
	ca := func(host, ca string) *rest.Config {
		return &rest.Config{Host: host, TLSClientConfig: rest.TLSClientConfig{CAData: []byte(ca)}}
	}
	for _, tt := range []struct {
		a, b *rest.Config
		same bool
	}{
		{ca("https://One:6443/", ""), ca("https://one:6443", "x"), true},
		{ca("https://one:6443", ""), ca("https://two:6443", ""), false},
		{ca("https://rancher/k8s/clusters/a", "x"), ca("https://rancher/k8s/clusters/b", "x"), false},
		{ca("https://user:secret@one", ""), ca("https://one?token=secret", ""), true},
		{ca("https://127.0.0.1:6443", "x"), ca("https://localhost:7443", "x"), true},
		{ca("https://127.0.0.1:6443", "x"), ca("https://127.0.0.1:6443", "y"), false},
		{ca("https://127.0.0.1:6443", ""), ca("https://127.0.0.1:7443", ""), false},
	} {
		a, b := clusterID(tt.a), clusterID(tt.b)
		if (a == b) != tt.same || a == "" || strings.Contains(a+b, "secret") {
			t.Errorf("%q and %q, same %t", a, b, tt.same)
		}
	}
}

// TestMutesOfTwoPrograms: nobody's are lost when many write at once, each with
// what it read when it began.
func TestMutesOfTwoPrograms(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	const programs, each = 4, 15
	stores := make([]*muteStore, programs)
	for i := range stores {
		stores[i] = muting(t, "prod")
	}
	var wg sync.WaitGroup
	for i, s := range stores {
		wg.Go(func() {
			for n := range each {
				s.Mute(ui.Mute{MuteKey: ui.MuteKey{Rule: "A01", Object: fmt.Sprintf("ingress/%d-%d", i, n)}})
				time.Sleep(time.Millisecond)
			}
			if err := s.end(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := len(muting(t, "prod").State().All); got != programs*each {
		t.Errorf("%d mutes are kept, %d were made", got, programs*each)
	}
	for i, s := range stores {
		if trouble := s.State().Trouble; trouble != "" {
			t.Errorf("program %d: %s", i, trouble)
		}
	}
}

// TestMutesInADamagedFile: what cannot be understood is told and stays as it is.
func TestMutesInADamagedFile(t *testing.T) {
	for name, text := range map[string]string{
		"half":     `{"version":1,"mutes":[{"context":"prod","rule":"B1`,
		"empty":    "",
		"newer":    `{"version":2,"mutes":[]}`,
		"severity": `{"version":1,"mutes":[{"context":"prod","rule":"B10","worst":"\u001b[31mvery"}]}`,
		"no rule":  `{"version":1,"mutes":[{"context":"prod","worst":"high"}]}`,
		"huge":     `{"version":1,"mutes":[]}` + strings.Repeat(" ", maxMutesFile),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("XDG_STATE_HOME", dir)
			path := filepath.Join(dir, "stickytop", "mutes.json")
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			s := muting(t, "prod")
			if got := s.State(); len(got.All) != 0 || !strings.Contains(got.Trouble, path) || strings.Contains(got.Trouble, "\x1b") {
				t.Errorf("read: %+v", got)
			}
			s.Mute(muteB10)
			done(t, s)
			if got := s.State(); !slices.Equal(got.All, []ui.Mute{muteB10}) || !strings.HasPrefix(got.Trouble, "B10 is muted only until the program ends: "+path) {
				t.Errorf("muted: %+v", got)
			}
			if now, err := os.ReadFile(path); err != nil || string(now) != text {
				t.Errorf("the file was written over: %v", err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			s.Mute(muteD01)
			done(t, s)
			wantMutes(t, muting(t, "prod"), muteB10, muteD01) // once it was mended
		})
	}
}

// TestMutesWithoutAHome: there is nowhere to write, and the screen says so.
func TestMutesWithoutAHome(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(t.TempDir(), "locked")
	if err := os.Mkdir(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	homes := map[string]map[string]string{
		"no folder can be made": {"XDG_STATE_HOME": "/proc/self/none"},
		"a file is in the way":  {"XDG_STATE_HOME": file},
		"no home":               {"HOME": "", "XDG_STATE_HOME": "relative"},
	}
	if os.Getuid() != 0 {
		homes["read-only"] = map[string]string{"XDG_STATE_HOME": locked}
	}
	for name, env := range homes {
		t.Run(name, func(t *testing.T) {
			for k, v := range env {
				t.Setenv(k, v)
			}
			s := muting(t, "prod")
			s.Mute(muteB10)
			s.Mute(muteD01)
			done(t, s)
			if got := s.State(); len(got.All) != 2 || !strings.HasPrefix(got.Trouble, "D01 is muted only until the program ends: ") {
				t.Errorf("%+v", got)
			}
			s.Unmute(muteD01.MuteKey)
			done(t, s)
			if got := s.State(); len(got.All) != 1 || !strings.HasPrefix(got.Trouble, "D01 is shown only until the program ends: ") {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A lock that is held too long is told, and what was muted is kept later.
func TestMutesBehindALock(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", dir)
	s := muting(t, "prod")
	s.Mute(muteB10)
	done(t, s)
	unlock, err := lockFile(filepath.Join(dir, "stickytop", "mutes.json.lock"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	s.Mute(muteD01)
	done(t, s)
	if got := s.State(); !strings.Contains(got.Trouble, "locked by another program") {
		t.Errorf("%+v", got)
	}
	unlock()
	s.Unmute(muteB10.MuteKey)
	done(t, s)
	wantMutes(t, muting(t, "prod"), muteD01)
}

// TestMuteOnTheScreen mutes in one run what the next does not show, of a
// cluster that is a demo's.
func TestMuteOnTheScreen(t *testing.T) {
	world, err := demo.New(demo.Options{Scenario: "delete-pod"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- world.Run(ctx) }()
	defer func() { cancel(); <-ended; world.Close() }()
	dir := t.TempDir()
	config := clientcmdapi.NewConfig()
	config.Clusters["a"] = &clientcmdapi.Cluster{Server: world.RESTConfig().Host}
	config.AuthInfos["a"] = &clientcmdapi.AuthInfo{}
	config.Contexts["a"] = &clientcmdapi.Context{Cluster: "a", AuthInfo: "a", Namespace: world.Namespace()}
	config.CurrentContext = "a"
	file := filepath.Join(dir, "config")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	state := "XDG_STATE_HOME=" + filepath.Join(dir, "state")
	open := func(args ...string) *terminalRun {
		s := startTerminal(t, args, state)
		s.until("5 Findings ▲", 10*time.Second)
		s.press("5")
		s.until("EVIDENCE", 10*time.Second)
		return s
	}
	mutes := filepath.Join(dir, "state", "stickytop", "mutes.json")
	live := []string{"ing/msgapp", "--no-probe", "--kubeconfig", file}
	s := open(live...)
	s.press("Mq") // in one go: it is kept all the same
	s.wait(5 * time.Second)
	text, err := os.ReadFile(mutes)
	if err != nil || strings.Count(string(text), `"rule"`) != 1 || !strings.Contains(string(text), `"context": "a"`) {
		t.Fatalf("%s (%v)", text, err)
	}
	s = open(live...)
	s.until("1 muted", 5*time.Second)
	s.press("q")
	s.wait(5 * time.Second)

	s = open("demo", "delete-pod")
	s.press("M")
	s.until("muted for this run", 5*time.Second)
	s.press("q")
	s.wait(5 * time.Second)
	if now, err := os.ReadFile(mutes); err != nil || string(now) != string(text) {
		t.Errorf("the demo wrote %s (%v)", now, err)
	}
}
