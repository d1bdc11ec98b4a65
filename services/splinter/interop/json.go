package interop

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const jsonFormat = "splinter-export-1"

// jsonEntry is an Entry's line. Pointers tell "not given" from "empty".
type jsonEntry struct {
	Key       *string `json:"key,omitempty"`
	KeyBase64 *string `json:"key_base64,omitempty"`
	Text      *string `json:"text,omitempty"`
	Base64    *string `json:"base64,omitempty"`
	Type      string  `json:"type,omitempty"`
	Labels    string  `json:"labels,omitempty"`
	Version   uint64  `json:"version,omitempty"`
	TTL       string  `json:"ttl,omitempty"`
	HalfLife  string  `json:"half_life,omitempty"`
}

// WriteJSON writes the entries in their order.
func WriteJSON(w io.Writer, entries []Entry) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "{\"format\": %q, \"keys\": [", jsonFormat)
	for i, e := range entries {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
		var line strings.Builder
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(toJSON(e)); err != nil {
			return fmt.Errorf("write key %q as json: %w", e.Key, err)
		}
		out.WriteString(strings.TrimSuffix(line.String(), "\n"))
	}
	out.WriteString("\n]}\n")
	return out.Flush()
}

func toJSON(e Entry) jsonEntry {
	j := jsonEntry{Type: e.Type, Version: e.Version}
	j.Key, j.KeyBase64 = textOrBase64([]byte(e.Key))
	j.Text, j.Base64 = textOrBase64(e.Value)
	if e.Labels != 0 {
		j.Labels = "0x" + strconv.FormatUint(e.Labels, 16)
	}
	if e.TTL != 0 {
		j.TTL = e.TTL.String()
	}
	if e.HalfLife != 0 {
		j.HalfLife = e.HalfLife.String()
	}
	return j
}

// textOrBase64 takes data as text if a person can read it in the file.
func textOrBase64(data []byte) (text, encoded *string) {
	control := func(b byte) bool { return b < ' ' && b != '\t' && b != '\n' && b != '\r' || b == 0x7F }
	if utf8.Valid(data) && !slices.ContainsFunc(data, control) {
		s := string(data)
		return &s, nil
	}
	s := base64.StdEncoding.EncodeToString(data)
	return nil, &s
}

// ReadJSON reads what WriteJSON writes, strictly. Nothing may follow the object.
func ReadJSON(r io.Reader) ([]Entry, error) {
	var entries []Entry
	seen := map[string]bool{}
	decoder := json.NewDecoder(r)
	decoder.DisallowUnknownFields()
	if err := openKeys(decoder); err != nil {
		return nil, fmt.Errorf("read json: %w", err)
	}
	for n := 1; decoder.More(); n++ {
		var j jsonEntry
		if err := decoder.Decode(&j); err != nil {
			return nil, fmt.Errorf("read json: entry %d, near byte %d: %w", n, decoder.InputOffset(), err)
		}
		e, err := j.entry()
		if err != nil {
			return nil, fmt.Errorf("read json: entry %d: %w", n, err)
		}
		if seen[e.Key] {
			return nil, fmt.Errorf("read json: entry %d: key %q is there twice", n, e.Key)
		}
		seen[e.Key] = true
		entries = append(entries, e)
	}
	for _, end := range []json.Delim{']', '}'} {
		if err := expect(decoder, end); err != nil {
			return nil, fmt.Errorf("read json: %w", err)
		}
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read json: near byte %d: something follows the object", decoder.InputOffset())
	}
	return entries, nil
}

// openKeys reads up to the first entry.
func openKeys(decoder *json.Decoder) error {
	for _, token := range []json.Token{json.Delim('{'), "format", jsonFormat, "keys", json.Delim('[')} {
		if err := expect(decoder, token); err != nil {
			return err
		}
	}
	return nil
}

func expect(decoder *json.Decoder, want json.Token) error {
	got, err := decoder.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("near byte %d: expected %v: %w", decoder.InputOffset(), want, err)
	}
	if got != want {
		return fmt.Errorf("near byte %d: expected %v, found %v", decoder.InputOffset(), want, got)
	}
	return nil
}

func (j jsonEntry) entry() (Entry, error) {
	e := Entry{Type: j.Type, Version: j.Version}
	key, err := fromTextOrBase64("key", j.Key, "key_base64", j.KeyBase64)
	if err != nil {
		return e, err
	}
	e.Key = string(key)
	if e.Key == "" {
		return e, errors.New("the key is empty")
	}
	if e.Value, err = fromTextOrBase64("text", j.Text, "base64", j.Base64); err != nil {
		return e, fmt.Errorf("key %q: %w", e.Key, err)
	}
	if j.Labels != "" {
		digits, hex := strings.CutPrefix(j.Labels, "0x")
		if e.Labels, err = strconv.ParseUint(digits, 16, 64); err != nil || !hex {
			return e, fmt.Errorf("key %q: labels %q: expected 0x and up to 16 hexadecimal digits", e.Key, j.Labels)
		}
	}
	if e.TTL, err = lifetime("ttl", j.TTL); err != nil {
		return e, fmt.Errorf("key %q: %w", e.Key, err)
	}
	if e.HalfLife, err = lifetime("half_life", j.HalfLife); err != nil {
		return e, fmt.Errorf("key %q: %w", e.Key, err)
	}
	return e, nil
}

func fromTextOrBase64(textName string, text *string, encodedName string, encoded *string) ([]byte, error) {
	if (text == nil) == (encoded == nil) {
		return nil, fmt.Errorf("expected exactly one of %s and %s", textName, encodedName)
	}
	if text != nil {
		return []byte(*text), nil
	}
	data, err := base64.StdEncoding.DecodeString(*encoded)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", encodedName, err)
	}
	return data, nil
}

func lifetime(name, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s %q: expected a time greater than 0, as 90s or 1h30m", name, text)
	}
	return d, nil
}
