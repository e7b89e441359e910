package main

import "slices"

// median is the middle of v, or the mean of the two in the middle; 0 for none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	mid := len(v) / 2
	if len(v)%2 == 1 {
		return v[mid]
	}
	return (v[mid-1] + v[mid]) / 2
}

// each applies f to all of v.
func each[T any](v []T, f func(T) float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = f(x)
	}
	return out
}

// medians is the median of each quantity by itself.
func medians(v []cost) cost {
	return cost{
		cpu:      median(each(v, func(c cost) float64 { return c.cpu })),
		allocs:   median(each(v, func(c cost) float64 { return c.allocs })),
		requests: median(each(v, func(c cost) float64 { return c.requests })),
		rate:     median(each(v, func(c cost) float64 { return c.rate })),
	}
}

// ratios is the median over the rounds of b / a, quantity by quantity. The two of
// a round ran one after the other, so what slows the machine for a while slows
// both and mostly cancels. a and b have the same length.
func ratios(a, b []cost) cost {
	r := make([]cost, len(a))
	for i := range a {
		r[i] = cost{
			cpu:      b[i].cpu / a[i].cpu,
			allocs:   b[i].allocs / a[i].allocs,
			requests: b[i].requests / a[i].requests,
			rate:     b[i].rate / a[i].rate,
		}
	}
	return medians(r)
}
