"""The paper, 体温单 and 重症护理记录单: drawings in millimetres, as SVG and as PDF. Data in, text or bytes out."""
