package main

import (
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// reference is grpc-go's own health server, and a client of it.
type reference struct {
	server *grpc.Server
	health *health.Server
	client client
}

func startReference() (*reference, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &reference{server: grpc.NewServer(), health: health.NewServer()}
	grpc_health_v1.RegisterHealthServer(r.server, r.health)
	// Its error comes from end.
	go func() { _ = r.server.Serve(listener) }()
	r.client, err = dial(listener.Addr().String())
	return r, err
}

func (r *reference) tell(statuses map[string]grpc_health_v1.HealthCheckResponse_ServingStatus) {
	for name, status := range statuses {
		r.health.SetServingStatus(name, status)
	}
}

// end cuts what is open: a graceful stop would wait for the watches for ever.
func (r *reference) end() {
	r.server.Stop()
}
