package access

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

type recorded struct {
	Of, Line, Format, Addr, Server, ID string
	Status                             int
	None                               bool
}

// lines are what the real proxies wrote of requests to loopback servers, and a
// few by hand, each with what it must say.
func lines(t testing.TB) (all []recorded) {
	t.Helper()
	file, err := os.Open("testdata/lines.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var r recorded
		if err := json.Unmarshal(scanner.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func TestParse(t *testing.T) {
	all := lines(t)
	if len(all) < 20 {
		t.Fatalf("%d lines", len(all))
	}
	for _, r := range all {
		e, ok := Parse([]byte(r.Line))
		want := Entry{r.Format, r.Addr, r.Server, r.Status}
		if ok == r.None || !r.None && e != want {
			t.Errorf("%s: %s\nis %+v, %v; want %+v", r.Of, r.Line, e, ok, want)
		}
		if ids := IDs([]byte(r.Line)); r.ID != "" && !slices.Contains(ids, r.ID) || r.ID == "" && len(ids) > 0 {
			t.Errorf("%s: IDs %v, want %q", r.Of, ids, r.ID)
		}
	}
	if _, ok := Parse([]byte(`{"status":200,"x":"` + strings.Repeat("x", MaxLine) + `"}`)); ok {
		t.Error("a line of more than MaxLine was read")
	}
}

func TestIDs(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	for line, want := range map[string]int{
		id: 1, "x " + id + ".": 1, `"` + id + `"`: 1, id + id: 0, id + "0": 0, "g" + id: 0, id + "-x": 0, "_" + id: 0, strings.ToUpper(id): 0,
		id + "," + id: 2, strings.Repeat(id+" ", 20): 8, "": 0,
	} {
		if got := IDs([]byte(line)); len(got) != want {
			t.Errorf("%.60q: %v, want %d", line, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, r := range lines(f) {
		f.Add([]byte(r.Line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, ok := Parse(line)
		if !ok {
			return
		}
		if e.Status != 0 && !plausible(e.Status) || len(e.Server) > 253 || len(line) > MaxLine || e.Format == "" {
			t.Errorf("%+v of %q", e, line)
		}
		if e.Addr != "" && lastAddr(e.Addr) != e.Addr {
			t.Errorf("address %q", e.Addr)
		}
		for _, id := range IDs(line) {
			if len(id) != 32 || !bytes.Contains(line, []byte(id)) {
				t.Errorf("ID %q", id)
			}
		}
	})
}
