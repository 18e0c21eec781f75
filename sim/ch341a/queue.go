package ch341a

// packet is up to 32 bytes.
type packet struct {
	data [maxPacket]byte
	n    int
}

// queue is packets that wait.
type queue struct {
	packets []packet
	head    int
}

func (q *queue) len() int       { return len(q.packets) - q.head }
func (q *queue) first() *packet { return &q.packets[q.head] }
func (q *queue) push(p packet)  { q.packets = append(q.packets, p) }

// pop takes the first packet and leaves nothing of it, since it may hold a secret.
func (q *queue) pop() packet {
	p := *q.first()
	*q.first() = packet{}
	if q.head++; q.head == len(q.packets) {
		q.clear()
	}
	return p
}

func (q *queue) clear() { q.packets, q.head = q.packets[:0], 0 }
