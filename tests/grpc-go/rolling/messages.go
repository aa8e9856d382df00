package main

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of proto/feishu/identity/v1/identity.proto, and OUTCOME_RESOLVED.
const (
	requestIdentifiers   = 3
	identifierEmail      = 1
	responseResolutions  = 1
	resolutionIdentifier = 1
	resolutionOutcome    = 2
	resolved             = 1
)

// request is a ResolveUserIdsRequest for one person.
type request struct {
	email string
}

// resolution is what is looked at in a ResolveUserIdsResponse of one Resolution.
type resolution struct {
	email   string
	outcome uint64
}

// codec writes and reads the two by hand: they are too small for generated code.
type codec struct{}

func (codec) Name() string {
	return "proto"
}

func (codec) Marshal(message any) ([]byte, error) {
	asked, is := message.(*request)
	if !is {
		return nil, fmt.Errorf("%T is no request", message)
	}
	identifier := protowire.AppendTag(nil, identifierEmail, protowire.BytesType)
	identifier = protowire.AppendString(identifier, asked.email)
	bytes := protowire.AppendTag(nil, requestIdentifiers, protowire.BytesType)
	return protowire.AppendBytes(bytes, identifier), nil
}

func (codec) Unmarshal(bytes []byte, message any) error {
	answer, is := message.(*resolution)
	if !is {
		return fmt.Errorf("%T is no answer", message)
	}
	count := 0
	err := fields(bytes, func(number protowire.Number, _ uint64, resolution []byte) error {
		if number != responseResolutions {
			return nil
		}
		count++
		return answer.read(resolution)
	})
	if err == nil && count != 1 {
		err = fmt.Errorf("%d resolutions for one person", count)
	}
	return err
}

func (r *resolution) read(bytes []byte) error {
	return fields(bytes, func(number protowire.Number, value uint64, inner []byte) error {
		switch number {
		case resolutionOutcome:
			r.outcome = value
		case resolutionIdentifier:
			return fields(inner, func(number protowire.Number, _ uint64, text []byte) error {
				if number == identifierEmail {
					r.email = string(text)
				}
				return nil
			})
		}
		return nil
	})
}

// fields calls visit with each field of a message: its number, and its value as a number or as bytes.
func fields(bytes []byte, visit func(protowire.Number, uint64, []byte) error) error {
	for len(bytes) > 0 {
		number, kind, length := protowire.ConsumeTag(bytes)
		if length < 0 {
			return protowire.ParseError(length)
		}
		bytes = bytes[length:]
		var value uint64
		var inner []byte
		switch kind {
		case protowire.VarintType:
			value, length = protowire.ConsumeVarint(bytes)
		case protowire.BytesType:
			inner, length = protowire.ConsumeBytes(bytes)
		default:
			return errors.New("a field of a kind that the messages do not have")
		}
		if length < 0 {
			return protowire.ParseError(length)
		}
		if err := visit(number, value, inner); err != nil {
			return err
		}
		bytes = bytes[length:]
	}
	return nil
}
