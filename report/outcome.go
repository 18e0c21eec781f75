package report

import "station/ledger"

// figure is the shape that says an outcome without colour.
type figure int

const (
	discTick figure = iota
	octagonCross
	triangleBang
	discBar
	squareStop
	diamondQuestion
	halfDisc
)

// look of an outcome.
type look struct {
	figure figure
	ink    ink
	says   string // what the outcome means, in a few words
}

func looks(o ledger.Outcome) look {
	switch o {
	case ledger.Pass:
		return look{discTick, ink{0, 110, 62}, "every step was proven on the chip"}
	case ledger.Fail:
		return look{octagonCross, ink{184, 18, 32}, "the unit is bad and needs disposition"}
	case ledger.Error:
		return look{triangleBang, amber, "the station is bad, not the unit"}
	case ledger.Refused:
		return look{discBar, ink{84, 92, 106}, "nothing was touched"}
	case ledger.Aborted:
		return look{squareStop, ink{84, 92, 106}, "someone stopped the run"}
	case ledger.Trial:
		return look{halfDisc, ink{84, 92, 106}, "bench run, stopped before permanent steps"}
	}
	return look{diamondQuestion, amber, "the state of the unit is not known"}
}

// shape draws the figure of l around (x, y) with radius r: ground in one ink, sign in the other.
func (s *sheet) shape(l look, x, y, r float64, ground, sign ink) {
	p := s.pdf
	s.fill(ground)
	s.pen(sign, r*0.26)
	p.SetLineCapStyle("round")
	p.SetLineJoinStyle("round")
	path := func(how string, xy ...float64) {
		p.MoveTo(x+xy[0]*r, y+xy[1]*r)
		for i := 2; i < len(xy); i += 2 {
			p.LineTo(x+xy[i]*r, y+xy[i+1]*r)
		}
		p.DrawPath(how)
	}
	dot := func(dx, dy, size float64) {
		s.fill(sign)
		p.Circle(x+dx*r, y+dy*r, size*r, "F")
	}
	switch l.figure {
	case discTick:
		p.Circle(x, y, r, "F")
		path("D", -0.46, 0.04, -0.12, 0.38, 0.48, -0.34)
	case octagonCross:
		path("F", -0.41, -1, 0.41, -1, 1, -0.41, 1, 0.41, 0.41, 1, -0.41, 1, -1, 0.41, -1, -0.41)
		path("D", -0.42, -0.42, 0.42, 0.42)
		path("D", -0.42, 0.42, 0.42, -0.42)
	case triangleBang:
		path("F", 0, -1, 1.08, 0.9, -1.08, 0.9)
		path("D", 0, -0.4, 0, 0.22)
		dot(0, 0.6, 0.14)
	case discBar:
		p.Circle(x, y, r, "F")
		path("D", -0.52, 0, 0.52, 0)
	case squareStop:
		path("F", -0.92, -0.92, 0.92, -0.92, 0.92, 0.92, -0.92, 0.92)
		s.fill(sign)
		path("F", -0.4, -0.4, 0.4, -0.4, 0.4, 0.4, -0.4, 0.4)
	case diamondQuestion:
		path("F", 0, -1.12, 1.12, 0, 0, 1.12, -1.12, 0)
		p.SetLineWidth(r * 0.2)
		p.MoveTo(x-0.3*r, y-0.28*r)
		p.CurveBezierCubicTo(x-0.3*r, y-0.72*r, x+0.34*r, y-0.72*r, x+0.32*r, y-0.26*r)
		p.CurveBezierCubicTo(x+0.3*r, y+0.02*r, x, y+0.02*r, x, y+0.26*r)
		p.DrawPath("D")
		dot(0, 0.58, 0.12)
	case halfDisc:
		p.Circle(x, y, r, "F")
		s.fill(sign)
		p.Circle(x, y, r*0.78, "F")
		s.fill(ground)
		a := 0.88 * r   // reaches into the ring, so that no seam shows
		k := 0.5523 * a // a quarter of a circle as one Bézier curve
		p.MoveTo(x, y-a)
		p.CurveBezierCubicTo(x-k, y-a, x-a, y-k, x-a, y)
		p.CurveBezierCubicTo(x-a, y+k, x-k, y+a, x, y+a)
		p.DrawPath("F")
	}
	p.SetLineCapStyle("butt")
	p.SetLineJoinStyle("miter")
}
