package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/kubestickytop/stickytop/internal/agent"
)

// secretOf is what is kept of a run whose agents outlive this program, in a
// file that its owner alone can read: the cluster has the digest only.
type secretOf struct {
	Run       string      `json:"run"`
	Namespace string      `json:"namespace"`
	Server    string      `json:"server"`
	Token     agent.Token `json:"token"`
	Ends      time.Time   `json:"ends"`
}

var runName = regexp.MustCompile(`^[a-z0-9]{1,20}$`)

func tokenDir() (string, error) {
	dir, err := stateDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the agents' token: %w", err)
	}
	return filepath.Join(dir, "agents"), nil
}

func tokenFile(run string) (string, error) {
	if !runName.MatchString(run) {
		return "", fs.ErrNotExist
	}
	dir, err := tokenDir()
	return filepath.Join(dir, run+".json"), err
}

func (s secretOf) keep() error {
	path, err := tokenFile(s.Run)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep the agents' token: %w", err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("keep the agents' token: %w", err)
	}
	return nil
}

// tokenOf returns what is kept of a run; fs.ErrNotExist when it was not made
// here.
func tokenOf(run string) (s secretOf, err error) {
	path, err := tokenFile(run)
	if err != nil {
		return s, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// forgetTokens removes what is kept of the runs that are meant and of all that
// are over.
func forgetTokens(meant func(secretOf) bool, now time.Time) {
	dir, err := tokenDir()
	if err != nil {
		return
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, f := range files {
		name, ok := cutJSON(f.Name())
		if !ok {
			continue
		}
		s, err := tokenOf(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || meant(s) || now.After(s.Ends.Add(time.Hour)) {
			_ = os.Remove(filepath.Join(dir, f.Name()))
		}
	}
}

func cutJSON(file string) (string, bool) {
	name, ok := filepath.Base(file), filepath.Ext(file) == ".json"
	if !ok {
		return "", false
	}
	return name[:len(name)-len(".json")], true
}
