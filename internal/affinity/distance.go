package affinity

// maxDistance bounds the strings that Distance compares, in bytes: a Kubernetes
// name has at most 253.
const maxDistance = 253

// Distance is the Levenshtein distance of a and b in bytes: how many are typed
// wrong, left out or too many. Of longer strings only the start is compared.
func Distance(a, b string) int {
	a, b = a[:min(len(a), maxDistance)], b[:min(len(b), maxDistance)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
