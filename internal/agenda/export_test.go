package agenda

// Compared is how many comparisons a has made.
func (a *Agenda[T]) Compared() int { return a.others.compared }
