package kiosk

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

const (
	heartbeatEvery = 10 * time.Second // so that a page knows within 15 s that nobody is there any more
	streamLimit    = 5 * time.Second  // for each write to be taken
	maxStreams     = 64
	maxOwn         = 16 // streams of one person, or of one address where nobody has signed in
)

// stream answers with the changes of a wall as server-sent events, until whoever asked is gone, does not take them, or the wall is closed. render makes the messages of a change; where
// it returns nil, whoever asked may not see more, and the stream ends. First of all, and every 10 s, there is an event "heartbeat", with the start of the program, by which a page knows whether it
// is of an earlier one, and the version of the State that was told last.
func stream(wall *Wall, w http.ResponseWriter, r *http.Request, render func(Change) []byte) {
	who := visitorOf(r.Context())
	changes, stop, ok := wall.watch(who.key(), maxOwn, maxStreams)
	if !ok {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	c := http.NewResponseController(w)
	send := func(b []byte) bool {
		c.SetWriteDeadline(time.Now().Add(streamLimit)) // an error says that there is none
		_, err := w.Write(b)
		return err == nil && c.Flush() == nil
	}
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	var version uint64
	alive := func() []byte {
		return jsonMessage("heartbeat", struct {
			Started time.Time `json:"started"`
			Version uint64    `json:"version"`
		}{wall.o.Started, version})
	}
	if !send(alive()) {
		return
	}
	for {
		var b []byte
		select {
		case <-r.Context().Done():
			return
		case change, more := <-changes:
			if !more {
				return
			}
			version = change.State.Version
			if b = render(change); b == nil {
				return
			}
		case <-beat.C:
			b = alive()
		}
		if !send(b) {
			return
		}
	}
}

// message is a server-sent event; event is "" for one without a name, which htmx puts into its page.
func message(event string, data []byte) []byte {
	var b bytes.Buffer
	if event != "" {
		b.WriteString("event: " + event + "\n")
	}
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	for line := range bytes.SplitSeq(bytes.ReplaceAll(data, []byte("\r"), []byte("\n")), []byte("\n")) { // all three end a line there
		b.WriteString("data: ")
		b.Write(line)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// jsonMessage is a message whose data is a document.
func jsonMessage(event string, document any) []byte {
	data, err := json.Marshal(document)
	if err != nil {
		panic(err) // nothing in it can fail
	}
	return message(event, data)
}

// changeMessage is a change for GET /api/v1/events: the whole State at first, and what of it is another afterwards.
func changeMessage(c Change) []byte {
	type rest struct {
		Said   *Said  `json:"said"`
		Shift  *Shift `json:"shift"`
		Job    *Job   `json:"job"`
		Open   []Open `json:"open"`
		Held   []Held `json:"held"`
		Next   Said   `json:"next"`
		Mirror string `json:"mirror"`
	}
	document := struct {
		State   *State  `json:"state,omitempty"`
		Version uint64  `json:"version"`
		Tiles   []Tile  `json:"tiles,omitempty"`
		Tones   []Toned `json:"tones,omitempty"`
		*rest
	}{Version: c.State.Version, Tones: c.Tones}
	if c.From == 0 {
		document.State = &c.State
		return jsonMessage("change", document)
	}
	for _, slot := range c.Tiles {
		if t, ok := c.State.Tile(slot); ok {
			document.Tiles = append(document.Tiles, t)
		}
	}
	if s := c.State; c.All {
		document.rest = &rest{s.Said, s.Shift, s.Job, s.Open, s.Held, s.Next, s.Mirror}
	}
	return jsonMessage("change", document)
}

// changeSchema is that of the data of a changeMessage, once the registry has that of State.
func changeSchema(r huma.Registry) *huma.Schema {
	state := r.Map()["State"].Properties
	c := &huma.Schema{
		Type: huma.TypeObject, Required: []string{"version"}, AdditionalProperties: false,
		Description: "Server-sent events. This is the data of `change`: the whole state at first, then the tiles that are others, by slot, and all of the rest where any of it is another. " +
			"`heartbeat` has the start of the station and the version that was told last.",
		Properties: map[string]*huma.Schema{
			"state": r.Schema(reflect.TypeFor[State](), true, ""), "version": state["version"],
			"tiles": r.Schema(reflect.TypeFor[[]Tile](), true, ""), "tones": r.Schema(reflect.TypeFor[[]Toned](), true, ""),
		},
	}
	for _, name := range []string{"shift", "job", "open", "held", "next", "mirror"} {
		c.Properties[name] = state[name]
	}
	c.Properties["said"] = &huma.Schema{AnyOf: []*huma.Schema{state["said"], {Type: "null"}}}
	c.PrecomputeMessages()
	return c
}

// Schema is that of a tone in the document: all that there are.
func (Tone) Schema(huma.Registry) *huma.Schema {
	all := []any{string(Silent), string(Accept), string(Reject), string(Attention)}
	for _, tone := range slices.Sorted(maps.Values(toneOfUnit)) {
		all = append(all, string(tone))
	}
	return &huma.Schema{Type: huma.TypeString, Enum: all, Description: "what is heard: of a scan or a deed accept, reject, attention or nothing, of a unit what became of it"}
}
