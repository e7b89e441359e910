package claimcheck

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Memory is an S3API that keeps objects in memory, for tests. It has every bucket.
// The zero Memory is empty and ready. Safe for concurrent use.
type Memory struct {
	mu      sync.Mutex // guards objects
	objects map[pointer]string
}

// PutObject implements S3API.
func (m *Memory) PutObject(ctx context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.objects == nil {
		m.objects = make(map[pointer]string)
	}
	m.objects[pointer{aws.ToString(in.Bucket), aws.ToString(in.Key)}] = string(body)
	return &s3.PutObjectOutput{}, nil
}

// GetObject implements S3API. A missing object gives a *types.NoSuchKey.
func (m *Memory) GetObject(ctx context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	body, ok := m.objects[pointer{aws.ToString(in.Bucket), aws.ToString(in.Key)}]
	if !ok {
		return nil, &types.NoSuchKey{Message: aws.String("The specified key does not exist.")}
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(strings.NewReader(body)), ContentLength: aws.Int64(int64(len(body)))}, nil
}

// DeleteObject implements S3API. A missing object is no error, as with S3.
func (m *Memory) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput, _ ...func(*s3.Options)) (*s3.DeleteObjectOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, pointer{aws.ToString(in.Bucket), aws.ToString(in.Key)})
	return &s3.DeleteObjectOutput{}, nil
}

// Objects lists what there is as bucket/key, sorted.
func (m *Memory) Objects() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for p := range m.objects {
		list = append(list, p.Bucket+"/"+p.Key)
	}
	slices.Sort(list)
	return list
}
