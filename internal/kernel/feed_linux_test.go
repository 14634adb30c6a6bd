package kernel

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/nftables"
)

// BenchmarkFeedNFT10000 is what an agent does once a second on a node with 10,000
// pins of which a hundred are renewed meanwhile, the real kernel's set included.
// cpu-ms are those of one core: 10 of them each second are 1 %.
func BenchmarkFeedNFT10000(b *testing.B) {
	want, _, _ := fixture(3 * time.Hour)
	inNamespace(b, func() {
		c := &nftables.Conn{}
		table := c.AddTable(&nftables.Table{Name: proxyTable, Family: nftables.TableFamilyIPv4})
		name := setName(svc5, "p80", "TCP", "10.180.0.3:80")
		set := &nftables.Set{Table: table, Name: name, KeyType: nftables.TypeIPAddr, HasTimeout: true, Dynamic: true, Timeout: 3 * time.Hour, Size: 65535}
		if err := c.AddSet(set, nil); err != nil {
			b.Error(err)
			return
		}
		elements := func(from, n int) (all []nftables.SetElement) {
			for i := from; i < from+n; i++ {
				all = append(all, nftables.SetElement{Key: []byte{10, 9, byte(i >> 8), byte(i)}})
			}
			return all
		}
		for i := 0; i < 10_000; i += 500 {
			if err := c.SetAddElements(set, elements(i, 500)); err != nil {
				b.Error(err)
				return
			}
			if err := c.Flush(); err != nil {
				b.Skipf("no nf_tables: %v", err)
			}
		}
		f := &Feed{reader: &Reader{proc: b.TempDir()}}
		defer f.Close()
		names := want.names()
		var since uint64
		bytes := 0
		var used time.Duration
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			b.StopTimer()
			some := elements(n%90*100, 100)
			_ = c.SetDeleteElements(set, some)
			_ = c.SetAddElements(set, some)
			if err := c.Flush(); err != nil {
				b.Error(err)
				return
			}
			b.StartTimer()
			used -= processTime()
			frame := f.Read(names, since)
			if frame.Fault != "" {
				b.Errorf("%s %s", frame.Fault, frame.Text)
				return
			}
			text, err := json.Marshal(frame)
			if err != nil {
				b.Error(err)
				return
			}
			used += processTime()
			since, bytes = frame.Seq, len(text)
		}
		b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N), "cpu-ms/op")
		b.ReportMetric(float64(bytes), "bytes/frame")
	})
}

// TestFeedBudget keeps a process that reads for another under 1 % of a core, and shows what changed whatever the order
// of the entries.
func TestFeedBudget(t *testing.T) {
	f := &Feed{reader: &Reader{proc: t.TempDir()}}
	if d := f.Wait(); d != 0 {
		t.Errorf("the first reading waits %s", d)
	}
	f.Read(Names{}, 0)
	for began := processTime(); processTime()-began < 30*time.Millisecond; {
	}
	if d := f.Wait(); d < 2*time.Second || d > slowest {
		t.Errorf("after 30 ms of a core the next reading waits %s", d)
	}
	for began := processTime(); processTime()-began < 80*time.Millisecond; {
	}
	if d := f.Wait(); d > slowest {
		t.Errorf("the next reading waits %s", d)
	}
}

// TestFeedRecent: of lists that nobody connected to no text is kept, and what is
// told of those who did connect has all their connections.
func TestFeedRecent(t *testing.T) {
	proc, want, bump := procOf(t, 2000, 4)
	f := &Feed{reader: &Reader{clock: clock{hz: 250, exact: true}, proc: proc, param: "/nonexistent"}}
	names := want.names()
	if n := len(f.Read(names, 0).Lists); n != 20 {
		t.Fatalf("%d lists", n)
	}
	all := len(f.reader.text)
	if frame := f.Read(names, f.seq); frame.Full || len(frame.Lists) != 0 || len(f.reader.text) != 0 {
		t.Errorf("nothing has changed: %d lists of %d bytes, full: %v", len(frame.Lists), len(f.reader.text), frame.Full)
	}
	time.Sleep(20 * time.Millisecond) // some jiffies
	bump(7)
	frame := f.Read(names, f.seq)
	if len(frame.Lists) != 1 || len(frame.Lists[0].Put) != 100 || len(f.reader.text) > all/15 {
		t.Fatalf("one list has changed: %d, of %d bytes", len(frame.Lists), len(f.reader.text))
	}
	for _, e := range frame.Lists[0].Put {
		if len(e.Stamps) != 4 {
			t.Errorf("%s: connections %v", e.Client, e.Stamps)
		}
	}
	if frame = f.Read(names, 0); !frame.Full || len(frame.Lists) != 20 || len(frame.Lists[3].Put[0].Stamps) != 4 {
		t.Error("one who comes anew is not told all")
	}
}
