package affinity

import "testing"

// TestWaiting: a session without any answer says which step it waits for, one
// without the message that is expected says so.
func TestWaiting(t *testing.T) {
	var st State
	st.Apply(SessionOpened{Spec: SessionSpec{ID: "s01", Route: "r", Transport: "http", Client: ClientBrowser}}, tNow)
	for _, tt := range []struct {
		event Event
		want  Condition
		why   string
	}{
		{Awaiting{Session: "s01", Since: tNow}, Waiting, ""},
		{Awaiting{Session: "s01", Since: tNow, Step: "the TLS handshake with 127.0.0.1:443"}, Waiting, "waits for the TLS handshake with 127.0.0.1:443, since 14:00:00Z"},
		{Observed{Session: "s01", Failure: &Failure{Op: "tls", Kind: FailureTimeout, Text: "no TLS"}}, Failing, "no TLS"},
	} {
		st.Apply(tt.event, tNow)
		if c, why := st.Snapshot(tNow).Sessions[0].Condition(tNow); c != tt.want || why != tt.why {
			t.Errorf("%s, %q: want %s, %q", c, why, tt.want, tt.why)
		}
	}
	held := Socket{Protocol: "WebSocket", Carrier: CarrierWebSocket, Opened: tNow, Note: "no message with \"pong\" yet"}
	joined := held
	joined.Joined, joined.Note = true, ""
	st.Apply(SessionOpened{Spec: SessionSpec{ID: "s02", Route: "r", Transport: "ws", Client: ClientBrowser}}, tNow)
	for _, tt := range []struct {
		event Event
		want  Condition
		why   string
	}{
		{Observed{Session: "s02", Leg: LegHandshake, Status: 101}, Cookieless, ""},
		{SocketChanged{Session: "s02", Socket: held}, Waiting, held.Note},
		{SocketChanged{Session: "s02", Socket: joined}, Cookieless, ""},
	} {
		st.Apply(tt.event, tNow)
		if c, why := st.Snapshot(tNow).Sessions[1].Condition(tNow); c != tt.want || tt.want == Waiting && why != tt.why {
			t.Errorf("%s, %q: want %s, %q", c, why, tt.want, tt.why)
		}
	}
	if s := st.Snapshot(tNow).Sessions[0]; s.AwaitingStep != "" {
		t.Errorf("the request is over, and it waits for %s", s.AwaitingStep)
	}
}
