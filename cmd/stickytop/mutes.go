package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ui"
)

const (
	maxMutesFile = 1 << 20 // bytes
	mutesVersion = 1
	// mutesWait bounds how long another program, or a slow home, is waited for.
	mutesWait = 2 * time.Second
)

// mutesFile is what is kept of the mutes of all contexts.
type mutesFile struct {
	Version int         `json:"version"`
	Mutes   []mutedLine `json:"mutes"`
}

type mutedLine struct {
	Context string `json:"context"` // of the kubeconfig; "" without a cluster
	// Server tells clusters apart whose contexts have one name; a line of an
	// earlier program has none, and is for all of them.
	Server    string `json:"server,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Object    string `json:"object,omitempty"`
	Rule      string `json:"rule"`
	Worst     string `json:"worst"` // severity up to which it is hidden
}

// place is what mutes are kept for.
type place struct {
	context string // "" without a cluster
	server  string // clusterID
}

// clusterID is the URL of a cluster without what may be secret. A tunnel's end on
// this machine may be any cluster's, from another port each time: there it is
// the cluster's CA, if that is known.
func clusterID(cfg *rest.Config) string {
	u, err := url.Parse(cfg.Host)
	if err != nil || u.Host == "" {
		return affinity.Clean(cfg.Host, 200)
	}
	ip := net.ParseIP(u.Hostname())
	if local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback(); local && len(cfg.CAData) > 0 {
		return fmt.Sprintf("ca:%.16x", sha256.Sum256(cfg.CAData))
	}
	return affinity.Clean(strings.ToLower(u.Scheme+"://"+u.Host)+strings.TrimRight(u.Path, "/"), 200)
}

// muteStore keeps what the screen mutes of one cluster, in a file of its
// user's. Files are touched by a goroutine of its own: a home may be slow.
type muteStore struct {
	path    string
	place   place
	nowhere error // why there is no path

	mu      sync.Mutex
	state   ui.MuteState
	file    []ui.Mute    // as read last
	pending []muteChange // what the file does not have yet
	working bool
	idle    chan struct{} // closed when not working
}

// muteChange is a mute, or one that is taken back.
type muteChange struct {
	mute ui.Mute
	off  bool
}

var _ ui.Mutes = (*muteStore)(nil)

// newMutes starts to read what is kept of a cluster.
func newMutes(p place) *muteStore {
	s := &muteStore{place: p}
	dir, err := stateDir()
	if err != nil {
		s.nowhere = err
		return s
	}
	s.path, s.state.Lasting = filepath.Join(dir, "mutes.json"), true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.work()
	return s
}

// State implements ui.Mutes.
func (s *muteStore) State() ui.MuteState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Mute implements ui.Mutes.
func (s *muteStore) Mute(m ui.Mute) { s.change(muteChange{mute: m}) }

// Unmute implements ui.Mutes.
func (s *muteStore) Unmute(key ui.MuteKey) {
	s.change(muteChange{mute: ui.Mute{MuteKey: key}, off: true})
}

func (s *muteStore) change(c muteChange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, c)
	if s.nowhere != nil {
		s.publish(onlyNow(c, s.nowhere))
		return
	}
	s.publish("")
	s.work()
}

// publish makes the state anew. s.mu is held.
func (s *muteStore) publish(trouble string) {
	s.state.Seq++
	s.state.All, s.state.Trouble = applied(s.file, s.pending), trouble
}

func applied(all []ui.Mute, changes []muteChange) []ui.Mute {
	for _, c := range changes {
		if c.off {
			all = ui.Without(all, c.mute.MuteKey)
		} else {
			all = ui.With(all, c.mute)
		}
	}
	return all
}

// work lets a goroutine bring file and pending together, unless one is at it.
// s.mu is held.
func (s *muteStore) work() {
	if s.working {
		return
	}
	s.working, s.idle = true, make(chan struct{})
	go func() {
		defer close(s.idle)
		for s.turn() {
		}
	}()
}

// turn reads the file and writes what is to be done, and reports whether there
// is more by now.
func (s *muteStore) turn() (more bool) {
	s.mu.Lock()
	pending := slices.Clone(s.pending)
	s.mu.Unlock()
	kept, err := exchange(s.path, s.place, pending)
	s.mu.Lock()
	defer s.mu.Unlock()
	more = len(s.pending) > len(pending)
	trouble := ""
	switch {
	case err == nil:
		s.file, s.pending = kept, slices.Clone(s.pending[len(pending):])
	case len(pending) == 0:
		trouble = "what was muted earlier is shown: " + err.Error()
	default:
		trouble = onlyNow(pending[len(pending)-1], err)
	}
	s.publish(trouble)
	s.working = more
	return more
}

func onlyNow(c muteChange, err error) string {
	word := "muted"
	if c.off {
		word = "shown"
	}
	return c.mute.Rule + " is " + word + " only until the program ends: " + err.Error()
}

// end waits until everything is written, and says if it is not.
func (s *muteStore) end() error {
	s.mu.Lock()
	working, idle := s.working, s.idle
	s.mu.Unlock()
	if !working {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-time.After(2 * mutesWait):
		return fmt.Errorf("%s does not answer: what was muted last may not be kept", s.path)
	}
}

// exchange reads the file of path, writes it with changes, if there are any, and
// returns what is muted in a cluster then. What another program wrote meanwhile
// stays in it.
func exchange(path string, p place, changes []muteChange) ([]ui.Mute, error) {
	if len(changes) > 0 {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		unlock, err := lockFile(path+".lock", mutesWait)
		if err != nil {
			return nil, err
		}
		defer unlock()
	}
	file, err := readMutes(path)
	if err != nil {
		return nil, err
	}
	var mine, anywhere []ui.Mute
	var others []mutedLine
	for _, l := range file.Mutes {
		if l.Context != p.context || l.Server != p.server && l.Server != "" {
			others = append(others, l)
			continue
		}
		worst, _ := affinity.ParseSeverity(l.Worst)
		m := ui.Mute{MuteKey: ui.MuteKey{Rule: l.Rule, Namespace: l.Namespace, Object: l.Object}, Worst: worst}
		mine = ui.With(mine, m)
		if l.Server == "" {
			anywhere = append(anywhere, m)
		}
	}
	if len(changes) == 0 {
		return mine, nil
	}
	mine = applied(mine, changes)
	file.Mutes = others
	keep := func(server string, m ui.Mute) {
		file.Mutes = append(file.Mutes, mutedLine{Context: p.context, Server: server, Namespace: m.Namespace, Object: m.Object, Rule: m.Rule, Worst: m.Worst.String()})
	}
	for _, m := range mine {
		if !slices.Contains(anywhere, m) {
			keep(p.server, m)
		}
	}
	for _, m := range anywhere { // whose it was is not known: it stays everybody's, be it muted up to more here
		if p.server != "" && slices.ContainsFunc(mine, func(x ui.Mute) bool { return x.MuteKey == m.MuteKey }) || slices.Contains(mine, m) {
			keep("", m)
		}
	}
	return mine, file.write(path)
}

// readMutes returns an error for what is there and cannot be understood, all of
// it: it would be lost when the file is written again.
func readMutes(path string) (mutesFile, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return mutesFile{}, nil
	case err != nil:
		return mutesFile{}, err
	case !info.Mode().IsRegular():
		return mutesFile{}, fmt.Errorf("%s is no file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return mutesFile{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxMutesFile+1))
	if err != nil {
		return mutesFile{}, err
	}
	if len(text) > maxMutesFile {
		return mutesFile{}, fmt.Errorf("%s has more than %d KiB", path, maxMutesFile>>10)
	}
	var file mutesFile
	if err := json.Unmarshal(text, &file); err != nil {
		return mutesFile{}, fmt.Errorf("%s is damaged, mend or remove it: %w", path, err)
	}
	if file.Version != mutesVersion {
		return mutesFile{}, fmt.Errorf("%s is of version %d, this stickytop knows %d", path, file.Version, mutesVersion)
	}
	for _, l := range file.Mutes {
		if _, ok := affinity.ParseSeverity(l.Worst); !ok || l.Rule == "" {
			return mutesFile{}, fmt.Errorf("%s is damaged, mend or remove it: rule %q up to %q", path, l.Rule, l.Worst)
		}
	}
	return file, nil
}

// write puts the file in place of what is there, whole or not at all.
func (file mutesFile) write(path string) (err error) {
	file.Version = mutesVersion
	slices.SortFunc(file.Mutes, func(a, b mutedLine) int {
		return cmp.Or(cmp.Compare(a.Context, b.Context), cmp.Compare(a.Server, b.Server), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Rule, b.Rule))
	})
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	if len(text) >= maxMutesFile {
		return fmt.Errorf("%s would have more than %d KiB", path, maxMutesFile>>10)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".mutes-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
