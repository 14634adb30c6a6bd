package report

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// sarif writes SARIF 2.1.0 (OASIS), the part that code scanning reads. Findings
// that an object silences are suppressed results only if asked for, as code
// scanning opens alerts for those too; else they, and what was not checked, are
// told of the run.
// [docs.oasis-open.org/sarif/sarif/v2.1.0; docs.github.com, SARIF support for
// code scanning]
func (l Lint) sarif(w io.Writer) error {
	type obj = map[string]any
	rules := make([]obj, 0, len(l.Rules))
	for _, r := range l.Rules {
		rules = append(rules, obj{"id": r.ID, "shortDescription": obj{"text": r.Title}, "fullDescription": obj{"text": r.Help},
			"help": obj{"text": r.Help + " More: stickytop explain " + r.ID}, "defaultConfiguration": obj{"level": sarifLevel(r.Severity)}})
	}
	notes := []obj{}
	for _, u := range l.Unread {
		note := obj{"level": "error", "message": obj{"text": "could not be read: " + u.String()}}
		if u.File != "" && u.File != stdin {
			note["locations"] = []obj{{"physicalLocation": obj{"artifactLocation": obj{"uri": l.uri(u.File)}, "region": obj{"startLine": max(1, u.Line)}}}}
		}
		notes = append(notes, note)
	}
	for _, text := range l.Warnings {
		if slices.Contains(l.Unread, Unread{Text: text}) {
			continue
		}
		notes = append(notes, obj{"level": "warning", "message": obj{"text": text}})
	}
	reasons := map[int]string{} // of said, by which it is suppressed
	said := make([]affinity.Finding, 0, len(l.Findings))
	indexOf := func(f affinity.Finding) int {
		return slices.IndexFunc(l.Rules, func(r LintRule) bool { return r.ID == f.Rule })
	}
	for _, f := range l.Findings {
		index := indexOf(f)
		if f.Certainty == affinity.CertaintyNotChecked {
			note := obj{"level": "note", "message": obj{"text": f.Rule + " not checked: " + f.NotChecked}}
			if index >= 0 {
				note["associatedRule"] = obj{"id": f.Rule, "index": index}
			}
			notes = append(notes, note)
		}
		if f.Certainty != affinity.CertaintyNotChecked && f.Severity != affinity.SeverityOK {
			said = append(said, f)
		}
	}
	for _, g := range l.Ignored {
		if l.ShowIgnored {
			reasons[len(said)] = g.Reason
			said = append(said, g.Finding)
			continue
		}
		notes = append(notes, obj{"level": "note", "message": obj{"text": g.String()}})
	}
	same := map[string]int{}
	result := func(i int) any {
		f := said[i]
		x := obj{"ruleId": f.Rule, "level": sarifLevel(f.Severity), "message": obj{"text": sentences(f)},
			"properties": obj{"severity": f.Severity.String(), "certainty": f.Certainty.String()}}
		if reason, ok := reasons[i]; ok {
			x["suppressions"] = []obj{{"kind": "inSource", "justification": reason}}
		}
		if index := indexOf(f); index >= 0 {
			x["ruleIndex"] = index
		}
		location := obj{}
		name := strings.TrimPrefix(f.Object.Namespace+"/"+f.Object.String(), "/")
		if name != "" {
			location["logicalLocations"] = []obj{{"fullyQualifiedName": name, "kind": "resource"}}
		}
		at := ""
		if f.Object.File != "" {
			at = l.uri(f.Object.File)
			location["physicalLocation"] = obj{"artifactLocation": obj{"uri": at}, "region": obj{"startLine": max(1, f.Object.Line)}}
		}
		if len(location) > 0 {
			x["locations"] = []obj{location}
		}
		key := strings.Join([]string{f.Rule, at, name, string(f.Route)}, "\x00")
		same[key]++
		x["partialFingerprints"] = obj{fingerprintName: fingerprint(key, same[key])}
		return x
	}
	return writeAround(w, obj{"$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", "version": "2.1.0",
		"runs": []obj{{"tool": obj{"driver": obj{"name": "stickytop", "version": l.Version, "rules": rules}}, "results": []obj{},
			"invocations": []obj{{"executionSuccessful": len(l.Unread) == 0, "toolExecutionNotifications": notes}}}}}, "results", "        ", "  ", len(said), result)
}

const fingerprintName = "ruleOfObject/v1"

// fingerprint makes a result known again in another run: by its rule, object and
// file, and its number among results that have these in common. Neither lines
// nor texts are in it, which change with every edit.
func fingerprint(key string, n int) string {
	sum := sha256.Sum256([]byte(key + "\x00" + strconv.Itoa(n)))
	return hex.EncodeToString(sum[:16])
}

// uri is a file's name as a relative reference, by which results are matched
// with a repository's files; of what is not below Root an absolute name stays
// absolute. [RFC 3986, 4.2; SARIF 2.1.0, 3.4.3]
func (l Lint) uri(file string) string {
	if !strings.HasPrefix(file, "/") {
		return (&url.URL{Path: path.Clean(file)}).String()
	}
	if below, ok := strings.CutPrefix(path.Clean(file), strings.TrimSuffix(l.Root, "/")+"/"); ok && l.Root != "" {
		return (&url.URL{Path: below}).String()
	}
	return (&url.URL{Scheme: "file", Path: path.Clean(file)}).String()
}

// sentences is what a finding says, as one text.
func sentences(f affinity.Finding) string {
	text := f.Title
	if f.Impact != "" {
		text += ". " + f.Impact
	}
	if f.Fix != "" {
		text += ". Fix: " + f.Fix
	}
	return text
}

func sarifLevel(s affinity.Severity) string {
	switch {
	case s >= affinity.SeverityHigh:
		return "error"
	case s == affinity.SeverityMedium:
		return "warning"
	}
	return "note"
}
