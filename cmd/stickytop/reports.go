package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
	"github.com/kubestickytop/stickytop/internal/report"
	"github.com/kubestickytop/stickytop/internal/ui"
)

// reports writes what the screen found, in the formats of lint.
type reports struct{}

var _ ui.Reports = reports{}

func lintOf(all []affinity.Finding) report.Lint {
	l := report.Lint{Version: version, Findings: all, All: true, FailOn: affinity.SeverityHigh}
	objects := map[affinity.ObjectRef]bool{}
	for _, f := range all {
		if f.Object.Kind != "" {
			objects[f.Object] = true
		}
	}
	l.Objects = len(objects)
	for _, r := range findings.Rules {
		if slices.ContainsFunc(all, func(f affinity.Finding) bool { return f.Rule == r.ID }) {
			l.Rules = append(l.Rules, lintRule(r))
		}
	}
	return l
}

func lintRule(r findings.Rule) report.LintRule {
	return report.LintRule{ID: r.ID, Title: r.Title, Help: r.What, Severity: r.Severity}
}

// Markdown implements ui.Reports.
func (reports) Markdown(all []affinity.Finding) string {
	b := &strings.Builder{}
	_ = lintOf(all).Write(b, "markdown") // a Builder takes everything
	return b.String()
}

// Name implements ui.Reports.
func (reports) Name(t time.Time) string {
	return "stickytop-findings-" + t.UTC().Format("20060102-150405") + ".md"
}

// Endings implements ui.Reports.
func (reports) Endings() string { return report.Endings() }

// Save implements ui.Reports. A file that could not be written to its end is
// removed.
func (reports) Save(path string, all []affinity.Finding) (_ string, err error) {
	format := report.FormatOf(path)
	if format == "" {
		return "", fmt.Errorf("the name's ending says the format: use one of %s", report.Endings())
	}
	if rest, ok := strings.CutPrefix(path, "~"+string(filepath.Separator)); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		path = filepath.Join(home, rest)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	if err := errors.Join(lintOf(all).Write(f, format), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(path))
	}
	return path, nil
}
