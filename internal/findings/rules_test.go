package findings_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
	"github.com/kubestickytop/stickytop/internal/manifest"
)

func read(t testing.TB, path string) findings.Facts {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	objects, problems := manifest.Read(bytes.NewReader(text), filepath.ToSlash(path))
	for _, p := range problems {
		t.Fatal(p)
	}
	return findings.Facts{Objects: objects}
}

// TestRules wants each rule to fail on its bad.yaml, with evidence from it, and
// not on its fixed twin.
func TestRules(t *testing.T) {
	for _, r := range findings.Rules {
		if r.Runtime {
			continue // TestShown
		}
		t.Run(r.ID, func(t *testing.T) {
			dir := filepath.Join("testdata", "rules", r.ID)
			bad := findings.Check(read(t, filepath.Join(dir, "bad.yaml")), findings.Options{Only: []string{r.ID}}).Findings
			if !slices.ContainsFunc(bad, fails) {
				t.Errorf("bad.yaml: %s says nothing: %s", r.ID, titles(bad))
			}
			for _, f := range bad {
				complete(t, f)
			}
			good := findings.Check(read(t, filepath.Join(dir, "good.yaml")), findings.Options{Only: []string{r.ID}}).Findings
			if slices.ContainsFunc(good, fails) {
				t.Errorf("good.yaml: %s", titles(good))
			}
		})
	}
	dirs, err := os.ReadDir(filepath.Join("testdata", "rules"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if _, ok := findings.RuleByID(d.Name()); !ok {
			t.Errorf("testdata/rules/%s is of no rule", d.Name())
		}
	}
}

// TestShown wants scripts of the fold behind each rule that sessions show: one
// at least on which it speaks and, for those that sessions alone show, one on
// which it stays silent.
func TestShown(t *testing.T) {
	const proof = "../affinity/testdata/sockets"
	pins, err := os.ReadFile("../affinity/address_rules_test.go")
	if err != nil {
		t.Fatal(err)
	}
	against, err := os.ReadFile("../affinity/address_against_test.go")
	if err != nil {
		t.Fatal(err)
	}
	pins = append(pins, against...)
	for _, r := range findings.Rules {
		if r.Shown == "" {
			if r.Runtime {
				t.Errorf("%s is of no use: it has no check, and does not say when sessions show it", r.ID)
			}
			continue
		}
		speaks, silent := 0, 0
		files, err := filepath.Glob(filepath.Join(proof, "*", "*.txt"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), " finds "+r.ID+" ") {
				speaks++
			}
			if filepath.Base(filepath.Dir(file)) == r.ID && strings.Contains(filepath.Base(file), "good") {
				silent++
			}
		}
		speaks += strings.Count(string(pins), `want("`+r.ID+" ")
		silent += strings.Count(string(pins), `t.Run("`+r.ID+` stays silent"`)
		if speaks == 0 || silent == 0 && r.Runtime {
			t.Errorf("%s: %d scripts find it, %d stay silent", r.ID, speaks, silent)
		}
	}
	dirs, err := os.ReadDir(proof)
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no proofs: %v", err)
	}
	for _, d := range dirs {
		if r, ok := findings.RuleByID(d.Name()); !ok || r.Shown == "" {
			t.Errorf("%s/%s is of no rule that sessions show", proof, d.Name())
		}
	}
}

func fails(f affinity.Finding) bool { return f.Fails() }

// complete wants what a reader needs to act on a finding.
func complete(t *testing.T, f affinity.Finding) {
	t.Helper()
	if !f.Fails() {
		return
	}
	if f.Title == "" || f.Impact == "" || f.Fix == "" || f.Verify == "" || f.Object.Line == 0 || f.Object.File == "" || len(f.Evidence) == 0 {
		t.Errorf("%s %q lacks something: impact %q, fix %q, verify %q, line %d, %d pieces of evidence", f.Rule, f.Title, f.Impact, f.Fix, f.Verify, f.Object.Line, len(f.Evidence))
	}
	if strings.Contains(f.Verify, "{obj}") {
		t.Errorf("%s: verify %q", f.Rule, f.Verify)
	}
	if len([]rune(f.Title)) > 110 {
		t.Errorf("%s: title of %d runes: %q", f.Rule, len([]rune(f.Title)), f.Title)
	}
}

func titles(all []affinity.Finding) string {
	var b strings.Builder
	for _, f := range all {
		fmt.Fprintf(&b, "\n  %s %s %s %s: %s %s", f.Rule, f.Severity, f.Certainty, f.Object, f.Title, f.NotChecked)
	}
	return b.String()
}

// TestSane wants silence from HIGH on over objects that are as they should be.
func TestSane(t *testing.T) {
	files, err := filepath.Glob("testdata/sane/*.yaml")
	if err != nil || len(files) < 24 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		f := read(t, file)
		if len(f.Objects) == 0 {
			t.Errorf("%s: nothing was read", file)
		}
		for _, x := range findings.Check(f, findings.Options{}).Findings {
			if x.Fails() && x.Severity >= affinity.SeverityHigh {
				t.Errorf("%s: %s", file, titles([]affinity.Finding{x}))
			}
		}
	}
}

// TestFounding wants the list of the chart that stickytop was made for.
func TestFounding(t *testing.T) {
	want := `
  B10 high exact ingress/msgapp: cookie max-age 3h is absolute, not renewed
  C02 high likely ingress/msgapp: persistent still re-pins when a pod is replaced
  C03 high exact deployment/msgapp-backend: pods behind a sticky route have 30 s to end
  D01 high likely ingress/msgapp: change-on-failure is off: cookies of a failing pod keep failing
  F01 info exact service/msgapp-backend: ClientIP 10800 s is bypassed by ingress traffic
  I06 info likely ingress/msgapp: an Ingress edit ends WebSockets after 240 s
  J01 info exact service/msgapp-mongodb: MongoDB is headless and without affinity: right
  L01 info likely ingress/msgapp: controller ingress-nginx is retired (March 2026)
  I05 ok likely ingress/msgapp: proxy-read 60s > Engine.IO's ping at 25s`
	if got := titles(findings.Check(read(t, "testdata/msgapp.yaml"), findings.Options{}).Findings); strings.ReplaceAll(got, " \n", "\n") != want+" " {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
