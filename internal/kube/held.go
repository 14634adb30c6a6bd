package kube

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// held is what is kept of an object: enough metadata for client-go to list and
// watch, and Value, which the rest of the package reads. Objects are turned
// into held ones page by page and event by event, so that managedFields, env,
// volumes and most of spec and status never outlive the response they came in.
type held struct {
	metav1.ObjectMeta // name, namespace, resourceVersion
	Value             any
}

// GetObjectKind is part of runtime.Object; nothing reads a held object's kind.
func (h *held) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject is part of runtime.Object. Values are never written, so that
// the copy may share them.
func (h *held) DeepCopyObject() runtime.Object {
	c := *h
	return &c
}

// heldList is a page of held objects.
type heldList struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []runtime.Object
}

// DeepCopyObject is part of runtime.Object.
func (l *heldList) DeepCopyObject() runtime.Object {
	c := *l
	return &c
}

// convertFunc keeps what matters of an object; ok is false for an object of
// another type than was asked for.
type convertFunc func(runtime.Object) (value any, ok bool)

// hold converts one object. Bookmarks carry nothing but a resourceVersion.
func hold(obj runtime.Object, convert convertFunc) (*held, bool) {
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, false
	}
	h := &held{ObjectMeta: metav1.ObjectMeta{Name: m.GetName(), Namespace: m.GetNamespace(), ResourceVersion: m.GetResourceVersion()}}
	value, ok := convert(obj)
	h.Value = value
	return h, ok
}

// holdList converts a page.
func holdList(list runtime.Object, convert convertFunc) (*heldList, error) {
	m, err := meta.ListAccessor(list)
	if err != nil {
		return nil, err
	}
	out := &heldList{ListMeta: metav1.ListMeta{
		ResourceVersion: m.GetResourceVersion(), Continue: m.GetContinue(), RemainingItemCount: m.GetRemainingItemCount(),
	}, Items: make([]runtime.Object, 0, meta.LenList(list))}
	err = meta.EachListItem(list, func(obj runtime.Object) error {
		if h, ok := hold(obj, convert); ok {
			out.Items = append(out.Items, h)
		}
		return nil
	})
	return out, err
}

// change is what a watcher tells the world: objects, or its own state.
type change struct {
	resource string
	kind     changeKind
	object   *held
	objects  []*held // of a replace
	status   status
}

type changeKind uint8

const (
	changeUpsert changeKind = iota
	changeDelete
	changeReplace
	changeStatus
)
