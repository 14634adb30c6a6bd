package apiserver

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// Object is anything the server holds.
type Object interface {
	metav1.Object
	runtime.Object
}

// historyLimit is how many changes are kept for watches that resume. A real
// API server keeps minutes of them.
const historyLimit = 20_000

// Store is the cluster's state, with one revision for all of it, as etcd has.
// Objects in it are never written again: what Get and List return must not be
// modified, and a change stores a copy.
type Store struct {
	mu      sync.Mutex
	rev     uint64
	floor   uint64 // changes up to this revision are forgotten
	uid     uint64
	objects map[*resource]map[types.NamespacedName]Object
	history []change
	changed chan struct{} // closed by the next change
}

type change struct {
	rev   uint64
	kind  watch.EventType
	res   *resource
	now   Object // for a deletion: as it was last, with the revision of the deletion
	prior Object // nil for an addition
}

// NewStore returns an empty store.
func NewStore() *Store {
	s := &Store{rev: 1000, objects: map[*resource]map[types.NamespacedName]Object{}, changed: make(chan struct{})}
	for _, r := range resources {
		s.objects[r] = map[types.NamespacedName]Object{}
	}
	return s
}

// Revision returns the revision of the last change.
func (s *Store) Revision() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rev
}

// Changed returns a channel that is closed by the next change.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Put adds or replaces objects. UID, creation time and revision are filled in;
// a creation time that is set is kept.
func (s *Store) Put(objects ...Object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range objects {
		res, err := resourceOf(reflect.TypeOf(o))
		if err != nil {
			return err
		}
		if res.namespaced == (o.GetNamespace() == "") || o.GetName() == "" {
			return fmt.Errorf("put %s %q: bad name or namespace %q", res.kind, o.GetName(), o.GetNamespace())
		}
		s.put(res, o.DeepCopyObject().(Object))
	}
	return nil
}

// put stores o, which the caller gives away.
func (s *Store) put(res *resource, o Object) {
	key := keyOf(o)
	prior, found := s.objects[res][key]
	kind := watch.Added
	if found {
		kind = watch.Modified
		o.SetUID(prior.GetUID())
		o.SetCreationTimestamp(prior.GetCreationTimestamp())
	} else {
		s.uid++
		o.SetUID(types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012x", s.uid)))
		if created := o.GetCreationTimestamp(); created.IsZero() {
			o.SetCreationTimestamp(metav1.NewTime(time.Now().Truncate(time.Second)))
		}
	}
	s.record(change{kind: kind, res: res, now: o, prior: prior})
	s.objects[res][key] = o
}

// record gives the change its revision and wakes those who wait.
func (s *Store) record(c change) {
	s.rev++
	c.rev = s.rev
	c.now.SetResourceVersion(strconv.FormatUint(s.rev, 10))
	s.history = append(s.history, c)
	if over := len(s.history) - historyLimit; over > 0 {
		s.floor = s.history[over-1].rev
		s.history = slices.Clone(s.history[over:])
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// Remove deletes the object of that name and reports whether it was there.
func Remove[T Object](s *Store, namespace, name string) bool {
	res := mustResource[T]()
	key := types.NamespacedName{Namespace: namespace, Name: name}
	s.mu.Lock()
	defer s.mu.Unlock()
	prior, found := s.objects[res][key]
	if !found {
		return false
	}
	delete(s.objects[res], key)
	last := prior.DeepCopyObject().(Object)
	s.record(change{kind: watch.Deleted, res: res, now: last, prior: prior})
	return true
}

// Modify applies edit to a copy of the object and stores it if that changed
// anything. It reports whether the object is there. Edit must not use s.
func Modify[T Object](s *Store, namespace, name string, edit func(T)) bool {
	res := mustResource[T]()
	s.mu.Lock()
	defer s.mu.Unlock()
	prior, found := s.objects[res][types.NamespacedName{Namespace: namespace, Name: name}]
	if !found {
		return false
	}
	next := prior.DeepCopyObject().(T)
	edit(next)
	if !equality.Semantic.DeepEqual(prior, Object(next)) {
		s.put(res, next)
	}
	return true
}

// Get returns the object of that name.
func Get[T Object](s *Store, namespace, name string) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, found := s.objects[mustResource[T]()][types.NamespacedName{Namespace: namespace, Name: name}].(T)
	return o, found
}

// List returns the objects of one kind, of one namespace or with "" of all, by
// namespace and name.
func List[T Object](s *Store, namespace string) []T {
	s.mu.Lock()
	all := s.list(mustResource[T](), namespace)
	s.mu.Unlock()
	typed := make([]T, len(all))
	for i, o := range all {
		typed[i] = o.(T)
	}
	return typed
}

func (s *Store) list(res *resource, namespace string) []Object {
	all := make([]Object, 0, len(s.objects[res]))
	for key, o := range s.objects[res] {
		if namespace == "" || key.Namespace == namespace {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return all
}

// listAt returns what list returns, and the revision it is of.
func (s *Store) listAt(res *resource, namespace string) ([]Object, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list(res, namespace), s.rev
}

// since returns the changes after rev, the revision reached, and what to wait
// on for more. It is not ok when changes after rev were forgotten.
func (s *Store) since(rev uint64) (changes []change, now uint64, wait <-chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rev < s.floor {
		return nil, s.rev, s.changed, false
	}
	first, _ := slices.BinarySearchFunc(s.history, rev+1, func(c change, rev uint64) int { return cmp.Compare(c.rev, rev) })
	return s.history[first:], s.rev, s.changed, true
}

// Forget drops the history, as compaction does: open watches and those that
// resume from before now get 410 Gone, reason Expired.
func (s *Store) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rev++
	s.floor = s.rev
	s.history = nil
	close(s.changed)
	s.changed = make(chan struct{})
}

func keyOf(o Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}
