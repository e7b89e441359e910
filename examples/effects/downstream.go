package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
)

// Charge is to be charged to a card.
type Charge struct {
	Card  string
	Cents int64
}

// charger charges cards by an API that takes an Idempotency-Key: what is asked twice
// under one key is done once. The key of the claim is the same for every run of the
// same work, in whatever process, so it serves as that key.
type charger struct {
	client *http.Client
	url    string
}

func (h charger) handle(ctx context.Context, c Charge) error {
	claim, ok := idempotency.FromContext(ctx)
	if !ok {
		return errors.New("charger needs the middleware of package idempotency")
	}
	body, err := json.Marshal(c)
	if err != nil {
		return holdfast.Permanent(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return holdfast.Permanent(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", claim.Key)
	response, err := h.client.Do(request)
	if err != nil {
		return err // charged or not: the next run asks under the same key, and learns it
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body) // so that the connection serves again

	switch status := response.StatusCode; {
	case status < 300:
		return nil
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusConflict:
		// Conflict: an earlier request under this key is still being worked on.
		return fmt.Errorf("charging: %s", response.Status)
	default:
		return holdfast.Permanent(fmt.Errorf("charging: %s", response.Status))
	}
}
