package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client asks a gilgul. It may be used from many goroutines.
type Client struct {
	path     string
	patience time.Duration // how long to go on trying when gilgul has too much to do
}

// NewClient returns a client of the control socket at path.
func NewClient(path string) *Client { return &Client{path, 10 * time.Second} }

// Status returns what gilgul knows of the system.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

// Faults counts the defects seen since boot by class.
func (c *Client) Faults(ctx context.Context) (map[string]uint64, error) {
	return call[map[string]uint64](ctx, c, http.MethodGet, "/v1/faults", nil)
}

// Explain tells why a service is as it is.
func (c *Client) Explain(ctx context.Context, service string) (Explanation, error) {
	return call[Explanation](ctx, c, http.MethodGet, servicePath(service, "explain"), nil)
}

// Logs hands the newest lines of a service (of all if service is "") to each
// and, if follow, every new one until ctx ends, gilgul ends, or each fails.
func (c *Client) Logs(ctx context.Context, service string, lines int, follow bool, each func(LogLine) error) error {
	query := streamQuery(service, follow)
	query.Set("lines", strconv.Itoa(lines))
	return stream(ctx, c, "/v1/logs?"+query.Encode(), each)
}

// Events hands the events of a service that are kept (of all if service is "")
// to each and, if follow, every new one until ctx ends, gilgul ends, or each fails.
func (c *Client) Events(ctx context.Context, service string, follow bool, each func(Event) error) error {
	return stream(ctx, c, "/v1/events?"+streamQuery(service, follow).Encode(), each)
}

// Service does one of Start, Stop and Restart.
func (c *Client) Service(ctx context.Context, name, action string) error {
	return c.do(ctx, servicePath(name, action))
}

// Update gives a service the program at an absolute path as its new version.
func (c *Client) Update(ctx context.Context, name, program string) error {
	return c.do(ctx, servicePath(name, "update")+"?"+url.Values{"program": {program}}.Encode())
}

// Power asks for PowerOff or Reboot; it returns when gilgul has begun.
func (c *Client) Power(ctx context.Context, action string) error {
	return c.do(ctx, "/v1/power/"+url.PathEscape(action))
}

// Net returns the networks and what is allowed of them.
func (c *Client) Net(ctx context.Context) (NetStatus, error) {
	return call[NetStatus](ctx, c, http.MethodGet, "/v1/net", nil)
}

// ExplainNet says what becomes reachable if iface is allowed for d. The
// explanation's token is for AllowNet.
func (c *Client) ExplainNet(ctx context.Context, iface string, d time.Duration) (NetExplanation, error) {
	query := url.Values{"interface": {iface}, "for": {d.String()}}
	return call[NetExplanation](ctx, c, http.MethodGet, "/v1/net/explain?"+query.Encode(), nil)
}

// AllowNet consents to what was explained.
func (c *Client) AllowNet(ctx context.Context, request NetRequest) (Consent, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return Consent{}, fmt.Errorf("ask gilgul: %w", err)
	}
	return call[Consent](ctx, c, http.MethodPost, "/v1/net/allow", body)
}

// NetOff ends the consent to an interface, or to all if iface is "".
func (c *Client) NetOff(ctx context.Context, iface string) error {
	query := url.Values{}
	if iface != "" {
		query.Set("interface", iface)
	}
	return c.do(ctx, "/v1/net/off?"+query.Encode())
}

// servicePath escapes dots too, lest a name of dots is taken for a folder.
func servicePath(name, action string) string {
	return "/v1/services/" + strings.ReplaceAll(url.PathEscape(name), ".", "%2E") + "/" + url.PathEscape(action)
}

func streamQuery(service string, follow bool) url.Values {
	query := url.Values{"follow": {strconv.FormatBool(follow)}}
	if service != "" {
		query.Set("service", service)
	}
	return query
}
