package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var found = []affinity.Finding{
	{Rule: "D01", Title: "change-on-failure is off", Severity: affinity.SeverityHigh, Certainty: affinity.CertaintyExact,
		Object: affinity.ObjectRef{Kind: "Ingress", Namespace: "msgapp", Name: "msgapp"}, Fix: "turn it on", Patch: "kubectl annotate …"},
	{Rule: "I01", Title: "Session ID unknown", Severity: affinity.SeverityCritical, Certainty: affinity.CertaintyLikely, Session: "s03", At: time.Unix(1000, 0)},
}

func TestSaveFindings(t *testing.T) {
	for ending, want := range map[string]string{".md": "## D01 high:", ".json": `"FindingList"`, ".sarif": `"ruleId": "I01"`, ".xml": "<testsuite", ".txt": "D01 HIGH"} {
		path := filepath.Join(t.TempDir(), "found"+ending)
		saved, err := reports{}.Save(path, found)
		if err != nil || saved != path {
			t.Fatalf("%s: saved to %q: %v", ending, saved, err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, want 0600: %v", ending, info.Mode(), err)
		}
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: no %q in %s (%v)", ending, want, text, err)
		}
		if _, err := (reports{}).Save(path, nil); err == nil {
			t.Errorf("%s: a file that is there was written over", ending)
		}
	}
}

// A link that leads elsewhere is no new file.
func TestSaveFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "elsewhere.md"), filepath.Join(dir, "a.md")); err != nil {
		t.Skip(err)
	}
	if _, err := (reports{}).Save(filepath.Join(dir, "a.md"), found); err == nil {
		t.Error("a symbolic link was followed")
	}
	for _, path := range []string{"", "a", "a.exe", filepath.Join(dir, "none", "a.md")} {
		if saved, err := (reports{}).Save(path, found); err == nil {
			t.Errorf("%q was saved to %s", path, saved)
		}
	}
}

// TestSaveOnTheScreen saves what a demo shows: the file is told, and is
// what was asked for.
func TestSaveOnTheScreen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	s := startTerminal(t, []string{"demo", "delete-pod"})
	s.until("LIVE", 10*time.Second)
	s.press("5")
	s.until("IMPACT", 10*time.Second)
	s.press("\x13") // ^s
	s.until("save as", 5*time.Second)
	s.press("\x15" + path + "\r")
	s.until("saved to", 5*time.Second)
	s.press("q")
	s.wait(5 * time.Second)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Items []struct{ Rule string } }
	if err := json.Unmarshal(text, &list); err != nil || len(list.Items) == 0 {
		t.Errorf("%d findings: %v", len(list.Items), err)
	}
}
