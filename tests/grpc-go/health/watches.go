package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"
)

// watches are open watches of all names on one server.
type watches struct {
	leave   context.CancelFunc
	ended   sync.WaitGroup
	mutex   sync.Mutex
	answers []answer
	// One for each message.
	messages chan struct{}
	seen     int
}

// watchAll begins to watch every name.
func watchAll(client client) *watches {
	ctx, cancel := context.WithTimeout(context.Background(), 2*stopTimeout)
	// Room for more messages than any server has reason to send.
	w := &watches{leave: cancel, answers: make([]answer, len(names)), messages: make(chan struct{}, 100)}
	for index, name := range names {
		w.answers[index] = answer{rpc: "Watch", name: name}
		w.ended.Go(func() { w.follow(ctx, client, index) })
	}
	return w
}

// follow notes what one watch is told until it ends.
func (w *watches) follow(ctx context.Context, client client, index int) {
	watch, err := client.Watch(ctx, asked(names[index]))
	if err != nil {
		w.note(index, 0, err)
	}
	for err == nil {
		var response *grpc_health_v1.HealthCheckResponse
		response, err = watch.Recv()
		w.note(index, response.GetStatus(), err)
	}
}

func (w *watches) note(index int, told grpc_health_v1.HealthCheckResponse_ServingStatus, err error) {
	w.mutex.Lock()
	w.answers[index].add(told, err)
	w.mutex.Unlock()
	if err == nil {
		w.messages <- struct{}{}
	}
}

// await waits until all watches together have been told so many statuses since they began.
func (w *watches) await(count int) error {
	late := time.After(stopTimeout)
	for w.seen < count {
		select {
		case <-w.messages:
			w.seen++
		case <-late:
			return fmt.Errorf("%d of %d statuses came", w.seen, count)
		}
	}
	return nil
}

// all waits for the end of every watch and returns what they were told.
func (w *watches) all() []answer {
	w.ended.Wait()
	return w.answers
}
