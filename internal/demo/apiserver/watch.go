package apiserver

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
)

// How long a watch lives when the client does not say, and how often it is
// told the revision while nothing changes. The API server's own values are
// random, of this size (--min-request-timeout).
const (
	watchTimeout  = 40 * time.Minute
	bookmarkEvery = time.Minute
)

// stream writes watch events in one client's format.
type stream struct {
	w      http.ResponseWriter
	events streaming.Encoder
	object runtime.Encoder
	res    *resource
}

func newStream(w http.ResponseWriter, info runtime.SerializerInfo, res *resource) *stream {
	media := info.MediaType
	if media != runtime.ContentTypeJSON {
		media += ";stream=watch"
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(http.StatusOK)
	frames := info.StreamSerializer.Framer.NewFrameWriter(w)
	return &stream{
		w:      w,
		events: streaming.NewEncoder(frames, Codecs.EncoderForVersion(info.StreamSerializer.Serializer, res.gv)),
		object: Codecs.EncoderForVersion(info.Serializer, res.gv),
		res:    res,
	}
}

func (s *stream) send(kind watch.EventType, o runtime.Object) error {
	encoder := s.object
	if status, ok := o.(*metav1.Status); ok && status.APIVersion == "v1" {
		encoder = Codecs.EncoderForVersion(s.object, schema.GroupVersion{Version: "v1"})
	}
	var buf bytes.Buffer
	if err := encoder.Encode(shallow(o), &buf); err != nil {
		return err
	}
	return s.events.Encode(&metav1.WatchEvent{Type: string(kind), Object: runtime.RawExtension{Raw: buf.Bytes()}})
}

func (s *stream) flush() {
	if f, ok := s.w.(http.Flusher); ok {
		f.Flush()
	}
}

// bookmark tells the client the revision it has reached.
func (s *stream) bookmark(rev uint64, endOfInitial bool) error {
	o := reflectZero(s.res)
	o.SetResourceVersion(strconv.FormatUint(rev, 10))
	if endOfInitial {
		o.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return s.send(watch.Bookmark, o)
}

func reflectZero(res *resource) Object { return reflect.New(res.goType.Elem()).Interface().(Object) }

func (s *Server) serveWatch(w http.ResponseWriter, r *http.Request, q request, match matcher, opts metav1.ListOptions) {
	info, ok := negotiate(r.Header.Get("Accept"))
	if !ok || info.StreamSerializer == nil {
		http.Error(w, "a watch is "+runtime.ContentTypeJSON+" or "+runtime.ContentTypeProtobuf, http.StatusNotAcceptable)
		return
	}
	var from uint64
	if opts.ResourceVersion != "" {
		var err error
		if from, err = strconv.ParseUint(opts.ResourceVersion, 10, 64); err != nil {
			writeError(w, r, apierrors.NewBadRequest("Invalid value for resourceVersion: "+strconv.Quote(opts.ResourceVersion)))
			return
		}
	}
	timeout := watchTimeout
	if opts.TimeoutSeconds != nil {
		timeout = time.Duration(*opts.TimeoutSeconds) * time.Second
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()

	watching := watching{server: s, stream: newStream(w, info, q.res), q: q, match: match, rev: from, bookmarks: opts.AllowWatchBookmarks}
	// A watch from nowhere, or one that asks for it, begins with what there is.
	if from == 0 || opts.SendInitialEvents != nil && *opts.SendInitialEvents {
		end := opts.SendInitialEvents != nil && opts.AllowWatchBookmarks
		if watching.begin(end) != nil {
			return
		}
	}
	watching.follow(ctx)
}

// watching is one open watch.
type watching struct {
	server    *Server
	stream    *stream
	q         request
	match     matcher
	rev       uint64 // sent up to here
	bookmarks bool
}

func (w *watching) begin(mark bool) error {
	all, rev := w.server.store.listAt(w.q.res, w.q.namespace)
	w.rev = rev
	for _, o := range all {
		if !w.match(o) {
			continue
		}
		if err := w.stream.send(watch.Added, o); err != nil {
			return err
		}
	}
	if mark {
		if err := w.stream.bookmark(rev, true); err != nil {
			return err
		}
	}
	w.stream.flush()
	return nil
}

// follow sends changes until ctx is done, the client is gone or the history it
// needs is.
func (w *watching) follow(ctx context.Context) {
	w.stream.flush() // the client waits for the header
	bookmark := time.NewTicker(bookmarkEvery)
	defer bookmark.Stop()
	for {
		w.server.awaitHang(ctx)
		changes, now, wait, ok := w.server.store.since(w.rev)
		if !ok {
			w.expire(now)
			return
		}
		if w.sendAll(changes) != nil {
			return
		}
		w.rev = now
		select {
		case <-wait:
		case <-bookmark.C:
			if w.bookmarks && w.stream.bookmark(w.rev, false) != nil {
				return
			}
			w.stream.flush()
		case <-ctx.Done():
			if w.bookmarks {
				_ = w.stream.bookmark(w.rev, false)
			}
			return
		}
	}
}

func (w *watching) sendAll(changes []change) error {
	sent := false
	for _, c := range changes {
		kind, relevant := w.kind(c)
		if !relevant {
			continue
		}
		if err := w.stream.send(kind, c.now); err != nil {
			return err
		}
		sent = true
	}
	if sent {
		w.stream.flush()
	}
	return nil
}

// kind returns what a change is to this watch: an object that begins or ceases
// to match its selector is added or deleted.
func (w *watching) kind(c change) (watch.EventType, bool) {
	if c.res != w.q.res {
		return "", false
	}
	was := c.prior != nil && w.match(c.prior)
	is := c.kind != watch.Deleted && w.match(c.now)
	switch {
	case was && is:
		return watch.Modified, true
	case is:
		return watch.Added, true
	case was:
		return watch.Deleted, true
	}
	return "", false
}

// expire ends the watch as the watch cache does: an ERROR event, HTTP 200.
func (w *watching) expire(now uint64) {
	gone := apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", w.rev, now))
	_ = w.stream.send(watch.Error, statusOf(gone))
	w.stream.flush()
}
