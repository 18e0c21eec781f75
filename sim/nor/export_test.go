package nor

// SetCounter brings a counter where no test can wait for it to get.
func (c *Chip) SetCounter(i int, value uint32) { c.st.rpmc.counters[i].value = value }

// SetACRTM brings power-on and command counter of the authenticated commands there.
func (c *Chip) SetACRTM(powerOn, command uint64) {
	c.st.acrtm.powerOn, c.st.acrtm.command = powerOn, command
}
