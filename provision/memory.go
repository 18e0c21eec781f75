package provision

// GCPercent is what a program around the engine gives debug.SetGCPercent. Most of its memory is images and the buffers of the slots, which stay;
// garbage is little, and need not be as much again.
const GCPercent = 40
