package ingress

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var update = flag.Bool("update", false, "write what Build returns into the testdata")

// TestBuild reads the objects of every archive and compares the routes. An
// archive has objects.yaml, want, and may have readiness ("ns/svc:port path"
// lines) and unread ("classes", "services").
func TestBuild(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".txtar"), func(t *testing.T) { testArchive(t, file) })
	}
}

func testArchive(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var o Objects
	var want *txtar.File
	for i := range archive.Files {
		switch f := &archive.Files[i]; f.Name {
		case "objects.yaml":
			o = load(t, string(f.Data))
		case "want":
			want = f
		case "readiness":
			o.Readiness = readiness(t, string(f.Data))
		case "unread":
			o.ClassesUnread = strings.Contains(string(f.Data), "classes")
			o.ServicesUnread = strings.Contains(string(f.Data), "services")
			o.CustomUnread = map[string]bool{}
			for _, resource := range strings.Fields(string(f.Data)) {
				for _, k := range CustomKinds {
					if k.Resource() == resource {
						o.CustomUnread[k.Key] = true
					}
				}
			}
		default:
			t.Fatalf("unknown part %q", f.Name)
		}
	}
	if want == nil {
		t.Fatal("no part named want")
	}
	got := dump(Build(o))
	if *update {
		want.Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != string(want.Data) {
		t.Errorf("Build:\n%s\nwant:\n%s", got, want.Data)
	}
}

func readiness(t *testing.T, text string) map[ServicePortKey]string {
	all := map[ServicePortKey]string{}
	for line := range strings.Lines(text) {
		service, path, _ := strings.Cut(strings.TrimSpace(line), " ")
		service, port, _ := strings.Cut(service, ":")
		namespace, name, _ := strings.Cut(service, "/")
		n, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		all[ServicePortKey{affinity.ServiceRef{Namespace: namespace, Name: name}, n}] = path
	}
	return all
}

// TestEveryControllerHasTestdata keeps the table and the testdata together.
func TestEveryControllerHasTestdata(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Controllers {
		key := c.Key()
		if seen[key] {
			t.Errorf("%s is in the table twice", key)
		}
		seen[key] = true
		files, _ := filepath.Glob("testdata/" + key + "/*.txtar")
		proven := false
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			proven = proven || strings.Contains(string(data), "\n    "+key+" cookie ")
		}
		if !proven {
			t.Errorf("testdata/%s has no archive with a cookie policy of %s", key, key)
		}
	}
}

// dump prints routes for comparison and for reading.
func dump(routes []affinity.Route) string {
	var b strings.Builder
	for _, r := range routes {
		fmt.Fprintf(&b, "%s\n", r.ID)
		fmt.Fprintf(&b, "  %s %s class=%s backend=%s:%s(%s) tls=%v %s\n", r.Kind, orElse(r.PathType, "-"), orElse(r.Class, "-"),
			r.Backend.Service, r.Backend.Port, r.Backend.PortName, r.TLS, strings.Join(r.Addresses, ","))
		fmt.Fprintf(&b, "  probe %s: %s\n", r.ProbePath, r.ProbeWhy)
		for _, v := range r.Via {
			fmt.Fprintf(&b, "  via %s %s/%s\n", v.Kind, v.Namespace, v.Name)
		}
		for _, n := range r.Notes {
			fmt.Fprintf(&b, "  ! %s\n", n)
		}
		for _, l := range r.Layers {
			fmt.Fprintf(&b, "  %s %s", l.Where, l.Object)
			if l.Bypassed != "" {
				fmt.Fprintf(&b, " BYPASSED: %s", l.Bypassed)
			}
			b.WriteByte('\n')
			for _, p := range l.Candidates {
				dumpPolicy(&b, p)
			}
		}
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

func dumpPolicy(b *strings.Builder, p affinity.Policy) {
	fmt.Fprintf(b, "    %s %s %s", orElse(p.Controller, "-"), p.Mechanism, orElse(p.Mode, "-"))
	if p.Mechanism == affinity.MechanismCookie {
		c := p.Cookie
		fmt.Fprintf(b, " %s; Path=%s", c.Name, c.Path)
		if c.Domain != "" {
			fmt.Fprintf(b, "; Domain=%s", c.Domain)
		}
		if c.HasAge {
			fmt.Fprintf(b, "; age %s", c.MaxAge)
		}
		if c.Secure {
			b.WriteString("; Secure")
		}
		if c.HTTPOnly {
			b.WriteString("; HttpOnly")
		}
		if c.SameSite != "" {
			fmt.Fprintf(b, "; SameSite=%s", c.SameSite)
		}
	}
	fmt.Fprintf(b, " | timeout=%s %s", p.Timeout, p.Renewal)
	if p.Decoder != nil {
		fmt.Fprintf(b, " decoder=%+v", decoderText(p.Decoder))
	}
	if p.KeepsTerminating {
		b.WriteString(" keeps-terminating")
	}
	if p.MovesSilently {
		b.WriteString(" moves-silently")
	}
	if p.RepinsOnFailure {
		b.WriteString(" repins-on-failure")
	}
	fmt.Fprintf(b, "\n      why %s\n", p.Why)
	for _, x := range p.Levels {
		fmt.Fprintf(b, "      level %s cookie %s decoder=%+v\n", x.Object, x.Cookie.Name, decoderText(x.Decoder))
	}
	if p.Child != nil {
		fmt.Fprintf(b, "      chosen as %s\n", strings.Join(p.Child, " > "))
	}
	if len(p.Branches) > 0 && p.Choice != affinity.ChoiceAnew {
		fmt.Fprintf(b, "      choice %s\n", map[affinity.Choice]string{affinity.ChoiceByPin: "by the pin", affinity.ChoiceUnknown: "unknown"}[p.Choice])
	}
	for _, x := range p.Branches {
		fmt.Fprintf(b, "      branch %s:%s(%s) by %s", x.Backend.Service, x.Backend.Port, x.Backend.PortName, x.Object)
		if x.Canary {
			b.WriteString(" canary")
		}
		if x.Fallback {
			b.WriteString(" fallback")
		}
		if x.Share != "" {
			fmt.Fprintf(b, " [%s]", x.Share)
		}
		if x.Cookie != "" {
			fmt.Fprintf(b, " cookie=%s", x.Cookie)
		}
		if x.Decoder != nil {
			fmt.Fprintf(b, " decoder=%+v", decoderText(x.Decoder))
		}
		if x.Child != nil {
			fmt.Fprintf(b, " chosen as %s", strings.Join(x.Child, " > "))
		}
		b.WriteByte('\n')
	}
	if p.TurnOn != "" {
		fmt.Fprintf(b, "      turned on by %s\n", p.TurnOn)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(b, "      ! %s\n", n)
	}
}

// decoderText shows what a decoder was built with.
func decoderText(d affinity.Decoder) string { return affinity.Clean(decoderRaw(d), maxNote) }

func decoderRaw(d affinity.Decoder) string {
	switch d := d.(type) {
	case nginxPersistent:
		return fmt.Sprintf("%q(%s %s)", d.Name(), d.backend, d.partner)
	case nginxBalanced:
		return fmt.Sprintf("%q(%s %s)", d.Name(), d.backend, d.partner)
	case traefikSticky:
		return fmt.Sprintf("%q(%s)", d.Name(), strings.Join(d.children, " "))
	}
	return d.Name()
}
