package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// report is what became of the calls.
type report struct {
	Calls int `json:"calls"`
	// By gRPC code; Unknown is an answer that is not right.
	Errors map[string]int `json:"errors"`
	// The first message of each code.
	Messages  map[string]string `json:"messages"`
	LongestMs float64           `json:"longest_ms"`
	// How many calls each server has answered.
	Servers map[string]int `json:"servers"`
	// Each call has one, and one more for each time that it was tried again.
	Attempts int64 `json:"attempts"`
	// Those that the client makes by itself, where the server has not seen the call.
	TransparentRetries int64   `json:"transparent_retries"`
	Seconds            float64 `json:"seconds"`

	mutex sync.Mutex
}

func newReport() *report {
	return &report{Errors: map[string]int{}, Messages: map[string]string{}, Servers: map[string]int{}}
}

// add counts one call. It returns how many servers have answered so far, if this one never had.
func (r *report) add(server string, err error, took time.Duration) int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.Calls++
	r.LongestMs = max(r.LongestMs, float64(took.Microseconds())/1000)
	if err != nil {
		code := status.Code(err).String()
		r.Errors[code]++
		if r.Errors[code] == 1 {
			r.Messages[code] = err.Error()
		}
		return 0
	}
	r.Servers[server]++
	if r.Servers[server] > 1 {
		return 0
	}
	return len(r.Servers)
}

// attempts counts what the client does for the calls.
type attempts struct {
	begun, transparent atomic.Int64
}

func (a *attempts) HandleRPC(_ context.Context, event stats.RPCStats) {
	if begin, is := event.(*stats.Begin); is {
		a.begun.Add(1)
		if begin.IsTransparentRetryAttempt {
			a.transparent.Add(1)
		}
	}
}

func (a *attempts) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	return ctx
}

func (a *attempts) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}

func (a *attempts) HandleConn(context.Context, stats.ConnStats) {}
