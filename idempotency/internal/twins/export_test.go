package twins

// Waits is how many waits are remembered.
func (t *Table) Waits() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waits)
}
