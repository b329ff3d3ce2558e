"""The example pictures, one function each."""

from PIL import Image

from scripts.canvas import Canvas

DARK = "#2b2622"


def sign() -> Image.Image:
    """A notice at a harbour: two lines of text on a board."""
    board = Canvas(640, 400, "#a9cfe6", "#dcecf2")
    board.rectangle(0, 300, 640, 400, "#4c7f96")
    for x in range(-20, 660, 80):
        board.line([(x, 340), (x + 20, 334), (x + 40, 340), (x + 60, 334)], "#74a3b7", 3)
    for x in (150, 474):
        board.rectangle(x, 240, x + 16, 400, "#6b4a30")
    board.rectangle(60, 70, 580, 270, "#1d4e79", 18)
    board.rectangle(70, 80, 570, 260, "#f7f5ec", 12)
    board.text(320, 135, "HARBOUR FERRY", 52, "#1d4e79")
    board.text(320, 210, "LEAVES AT NOON", 52, "#1d4e79")
    return board.finished(1, 0)


def cat() -> Image.Image:
    """A ginger cat that sits on a rug."""
    c = Canvas(640, 512, "#cfe3e0", "#e9efe2")
    c.rectangle(0, 390, 640, 512, "#b98d62")
    c.ellipse(320, 446, 250, 46, "#8d4f5a")
    c.ellipse(320, 446, 228, 38, "#a9656c")
    c.shadow(330, 440, 150, 24)
    fur, light, stripe = "#e08e3c", "#f7e3c4", "#b9651f"
    c.blob(
        [(430, 430), (520, 420), (548, 350), (520, 300), (500, 312), (516, 352), (490, 388), (430, 390)], fur
    )
    c.ellipse(512, 312, 15, 17, light)
    c.blob(
        [(250, 250), (320, 226), (390, 250), (440, 350), (432, 440), (320, 452), (208, 440), (200, 350)], fur
    )
    c.blob([(285, 270), (320, 262), (355, 270), (368, 350), (345, 420), (295, 420), (272, 350)], light)
    for x in (288, 352):
        c.rectangle(x - 24, 350, x + 24, 446, fur, 24)
        c.ellipse(x, 440, 32, 15, light)
        for toe in (-10, 10):
            c.line([(x + toe, 434), (x + toe, 448)], stripe, 2)
    for y in (310, 338, 366):
        c.line([(212 + (y - 310) * -0.2, y), (244, y + 8)], stripe, 7)
        c.line([(428 + (y - 310) * 0.2, y), (396, y + 8)], stripe, 7)
    for side in (-1, 1):
        c.polygon([(320 + side * 96, 78), (320 + side * 100, 178), (320 + side * 26, 118)], fur)
        c.polygon([(320 + side * 86, 100), (320 + side * 88, 160), (320 + side * 44, 124)], "#eeb29a")
    c.blob(
        [(320, 108), (396, 126), (432, 190), (400, 246), (320, 266), (240, 246), (208, 190), (244, 126)], fur
    )
    c.blob([(320, 200), (366, 214), (372, 244), (320, 262), (268, 244), (274, 214)], light)
    for x in (298, 320, 342):
        c.line([(x, 116), (x + (320 - x) * 0.3, 146)], stripe, 8)
    for x in (276, 364):
        c.ellipse(x, 184, 23, 25, "#f4f7d4")
        c.ellipse(x, 185, 20, 23, "#7fae3f")
        c.ellipse(x, 185, 8, 20, "#15170f")
        c.ellipse(x + 5, 176, 5, 6, "#ffffff")
    c.polygon([(308, 212), (332, 212), (320, 226)], "#d76b6b")
    c.arc(308, 226, 12, 10, 120, DARK, 3)
    c.arc(332, 226, 12, 60, 170, DARK, 3)
    for side in (-1, 1):
        for dy in (-10, 2, 14):
            c.line([(320 + side * 40, 226 + dy / 2), (320 + side * 128, 218 + dy)], "#fbf6ea", 2)
    return c.finished(2)


def landscape() -> Image.Image:
    """A house by a lake under mountains."""
    c = Canvas(768, 512, "#5fa8dc", "#f3e2c2")
    c.ellipse(628, 92, 44, 44, "#fff1b5")
    for x, y, size in ((130, 80, 1.0), (360, 58, 0.8), (500, 130, 0.6)):
        for dx, dy, r in ((-44, 8, 26), (-12, -6, 36), (28, 2, 30), (58, 10, 20)):
            c.ellipse(x + dx * size, y + dy * size, r * 1.3 * size, r * 0.8 * size, "#fbfbf6")
    c.polygon([(-40, 330), (120, 140), (210, 240), (330, 110), (520, 330)], "#7d8fa6")
    c.polygon([(330, 110), (291, 152), (318, 168), (336, 152), (356, 172), (375, 160)], "#f4f7fa")
    c.polygon([(120, 140), (91, 174), (116, 186), (134, 172), (150, 178)], "#f4f7fa")
    c.polygon([(380, 330), (590, 170), (810, 330)], "#6b7f8e")
    c.rectangle(0, 318, 768, 420, "#5d9cb8")
    for x, y in ((90, 340), (300, 352), (520, 338), (690, 356), (180, 372), (420, 380)):
        c.line([(x, y), (x + 70, y)], "#a5cddb", 2)
    c.blob([(-60, 380), (160, 366), (330, 396), (520, 372), (830, 390), (830, 560), (-60, 560)], "#76a650")
    c.blob([(380, 520), (420, 470), (470, 440), (505, 436), (515, 444), (490, 470), (480, 520)], "#d9c394")
    for x, y, size in ((80, 400, 1.2), (150, 420, 0.9), (660, 410, 1.3), (720, 430, 1.0), (600, 398, 0.8)):
        c.rectangle(x - 6 * size, y - 6, x + 6 * size, y + 26 * size, "#6a4a2f")
        for step in range(3):
            top, half = y - (110 - 30 * step) * size, (22 + 13 * step) * size
            c.polygon([(x, top), (x - half, top + 56 * size), (x + half, top + 56 * size)], "#2f6b3f")
    c.shadow(520, 444, 130, 14)
    c.rectangle(410, 320, 610, 444, "#f4e6cd")
    c.rectangle(560, 226, 586, 290, "#8e4a3c")
    c.polygon([(385, 326), (450, 240), (572, 240), (636, 326)], "#b4493a")
    c.rectangle(486, 368, 530, 444, "#5c3b28", 4)
    c.ellipse(522, 408, 3, 3, "#e7c869")
    for x in (428, 546):
        c.rectangle(x, 350, x + 42, 394, "#ffffff")
        c.rectangle(x + 4, 354, x + 38, 390, "#8fc1dc")
        c.line([(x + 21, 354), (x + 21, 390)], "#ffffff", 3)
        c.line([(x + 4, 372), (x + 38, 372)], "#ffffff", 3)
    return c.finished(3)


def fruit() -> Image.Image:
    """A bowl with apples, bananas, an orange, a pear and grapes on a table."""
    c = Canvas(640, 480, "#efe3cf", "#d9c3a2")
    c.rectangle(0, 330, 640, 480, "#94603a")
    for y in (362, 400, 446):
        c.line([(0, y), (640, y + 4)], "#7f4f2d", 3)
    c.shadow(320, 426, 220, 26, 0.5)
    c.blob(
        [(216, 274), (196, 208), (204, 130), (226, 112), (242, 140), (262, 206), (330, 254), (296, 292)],
        "#f2cf45",
    )
    c.blob(
        [(230, 276), (238, 206), (226, 132), (240, 116), (266, 150), (296, 212), (360, 240), (330, 290)],
        "#e6b92f",
    )
    for x in (226, 240):
        c.rectangle(x - 8, 106, x + 6, 124, "#6a5222", 4)
    c.blob([(424, 290), (388, 240), (400, 186), (420, 150), (434, 118), (458, 126), (470, 168), (496, 214),
            (494, 270)], "#b7c24a")  # fmt: skip
    c.line([(448, 122), (456, 96)], "#5f4426", 6)
    c.ellipse(336, 236, 66, 64, "#ee8a27")
    c.ellipse(318, 214, 20, 16, "#f6ae61")
    c.ellipse(350, 184, 6, 4, "#5f7a2c")
    c.blob(
        [(176, 290), (152, 250), (172, 206), (212, 206), (232, 212), (262, 204), (292, 236), (284, 290)],
        "#c8352f",
    )
    c.ellipse(196, 238, 14, 20, "#e5736a")
    c.line([(226, 214), (234, 190)], "#5f4426", 5)
    c.blob([(234, 192), (258, 174), (282, 180), (262, 198)], "#5c9440")
    for x, y in (
        (404, 252),
        (436, 246),
        (468, 258),
        (388, 276),
        (420, 274),
        (452, 278),
        (484, 284),
        (500, 262),
    ):
        c.ellipse(x, y, 19, 19, "#6a3f86")
        c.ellipse(x - 6, y - 6, 5, 5, "#a585bd")
    c.blob([(120, 282), (520, 282), (486, 380), (400, 424), (240, 424), (154, 380)], "#3f7f95")
    c.blob([(140, 306), (500, 306), (482, 330), (320, 344), (158, 330)], "#f1ead8")
    c.ellipse(320, 282, 202, 10, "#2f6478")
    for x in range(180, 480, 40):
        c.ellipse(x, 322, 7, 7, "#d6734b")
    c.rectangle(258, 418, 382, 434, "#2f6478", 6)
    return c.finished(4)


def figure() -> Image.Image:
    """A person who stands with one arm raised, as a pose to copy."""
    c = Canvas(512, 704, "#d6dde8", "#f0efe9")
    c.rectangle(0, 600, 512, 704, "#b9b3a6")
    c.shadow(262, 652, 130, 18, 0.45)
    skin, shirt, trousers, shoe = "#d9a066", "#3f6fa8", "#3a3f4c", "#a23b2e"
    for knee, foot, toe in (((222, 528), (206, 640), (180, 650)), ((300, 528), (324, 640), (352, 650))):
        c.line([foot, toe], shoe, 30)
        c.rectangle(min(foot[0], toe[0]) - 15, 652, max(foot[0], toe[0]) + 15, 666, "#f2efe8", 6)
        c.line([((knee[0] + 262) / 2, 410), knee, (foot[0], 616)], trousers, 44)
    c.line([(196, 250), (160, 340), (176, 424)], skin, 30)
    c.line([(328, 246), (396, 190), (420, 96)], skin, 30)
    c.ellipse(178, 436, 19, 22, skin)
    c.ellipse(424, 78, 19, 24, skin)
    for finger in (-14, -5, 4, 13):
        c.line([(424 + finger * 0.7, 66), (424 + finger * 1.5, 42)], skin, 8)
    c.blob(
        [(196, 228), (262, 214), (328, 228), (336, 300), (322, 410), (262, 422), (202, 410), (188, 300)],
        shirt,
    )
    c.line([(198, 252), (172, 316)], shirt, 42)
    c.line([(326, 250), (374, 210)], shirt, 42)
    c.rectangle(204, 398, 320, 420, "#6a4a2f", 6)
    c.rectangle(250, 398, 274, 420, "#d9c067", 3)
    c.line([(262, 190), (262, 224)], skin, 36)
    c.ellipse(262, 142, 54, 64, skin)
    c.blob(
        [(204, 140), (208, 88), (262, 64), (318, 90), (320, 142), (304, 116), (262, 104), (222, 116)],
        "#4a3020",
    )
    for x in (242, 284):
        c.ellipse(x, 144, 9, 6, "#ffffff")
        c.ellipse(x, 144, 5, 6, DARK)
        c.line([(x - 10, 130), (x + 10, 129)], "#4a3020", 4)
    c.line([(263, 148), (258, 166), (266, 168)], "#b77f49", 3)
    c.arc(263, 170, 22, 25, 155, "#8e3f36", 4)
    return c.finished(5)


def room() -> Image.Image:
    """A living room with a sofa, a lamp, a plant, and a dog on the rug."""
    c = Canvas(768, 576, "#ead9bd", "#f3e9d6")
    c.rectangle(0, 420, 768, 576, "#a9774d")
    c.rectangle(0, 410, 768, 424, "#fbf7ee")
    c.rectangle(70, 60, 270, 250, "#ffffff", 4)
    c.rectangle(82, 72, 258, 238, "#9fd0ea")
    c.polygon(
        [(82, 204), (118, 186), (150, 184), (196, 204), (232, 190), (258, 188), (258, 238), (82, 238)],
        "#7fb069",
    )
    c.line([(170, 72), (170, 238)], "#ffffff", 8)
    c.line([(82, 155), (258, 155)], "#ffffff", 8)
    c.rectangle(400, 70, 540, 170, "#7a5230")
    c.rectangle(410, 80, 530, 160, "#f4efe2")
    c.ellipse(470, 112, 20, 20, "#e2803a")
    c.polygon([(410, 160), (450, 118), (490, 160)], "#5a7d8c")
    c.polygon([(460, 160), (500, 128), (530, 160)], "#466472")
    c.shadow(470, 452, 250, 16)
    c.rectangle(270, 240, 670, 400, "#4f7d74", 34)
    for x in (290, 472):
        c.rectangle(x, 330, x + 178, 400, "#639a8f", 18)
    for x in (236, 636):
        c.rectangle(x, 300, x + 68, 440, "#447067", 28)
    c.rectangle(280, 394, 660, 440, "#447067")
    for x in (262, 660):
        c.rectangle(x, 436, x + 20, 462, "#5b3d26")
    c.polygon([(330, 262), (412, 276), (398, 352), (318, 338)], "#e0a23f")
    c.line([(724, 200), (724, 470)], "#5a5148", 8)
    c.ellipse(724, 474, 38, 9, "#5a5148")
    c.polygon([(694, 120), (754, 120), (778, 206), (670, 206)], "#f8dd8a")
    c.rectangle(112, 400, 188, 476, "#c8673f", 8)
    for dx, dy in ((-70, -80), (-44, -130), (0, -150), (44, -130), (72, -78)):
        bend, rise = 150 + dx * 0.7, 400 + dy * 0.4
        c.blob([(146, 404), (bend - 14, rise), (150 + dx, 400 + dy), (bend + 16, rise + 6)], "#3f8a4c")
    c.ellipse(440, 524, 260, 44, "#7d4a58")
    c.ellipse(440, 524, 240, 36, "#94616d")
    _dog(c)
    return c.finished(6)


def _dog(c: Canvas) -> None:
    coat, dark = "#b5834f", "#6e4626"
    c.shadow(450, 530, 130, 16)
    c.line([(556, 490), (596, 452), (600, 430)], coat, 16)
    c.blob([(360, 470), (430, 446), (520, 452), (572, 490), (560, 528), (460, 536), (366, 530)], coat)
    c.line([(390, 522), (330, 530)], coat, 24)
    c.line([(540, 524), (490, 534)], coat, 24)
    c.blob(
        [(320, 396), (364, 388), (404, 404), (412, 448), (388, 484), (344, 488), (312, 460), (306, 424)], coat
    )
    c.blob([(318, 446), (348, 436), (376, 452), (370, 484), (340, 492), (314, 476)], "#e9d2ae")
    c.blob([(396, 398), (428, 412), (434, 462), (412, 474), (398, 440)], dark)
    c.blob([(322, 394), (300, 404), (284, 446), (300, 462), (314, 430)], dark)
    c.ellipse(338, 456, 13, 9, DARK)
    for x in (328, 372):
        c.ellipse(x, 430, 7, 8, DARK)
        c.ellipse(x + 2, 427, 2, 3, "#ffffff")
    c.arc(338, 462, 14, 30, 150, DARK, 3)
    c.line([(352, 492), (398, 482)], "#c0392b", 10)


def street() -> Image.Image:
    """A street with three cars, a bus stop and houses."""
    c = Canvas(768, 512, "#8fc4e8", "#e6f0f3")
    houses = ((0, 150, 150, "#d98f6b"), (150, 90, 130, "#cfc2a5"), (280, 130, 170, "#9db3a0"),
              (450, 70, 140, "#c9a0a0"), (590, 120, 178, "#b5b0cc"))  # fmt: skip
    for x, top, width, wall in houses:
        c.rectangle(x, top, x + width, 340, wall)
        c.rectangle(x, top, x + width, top + 14, "#5b4a44")
        for wx in range(x + 18, x + width - 30, 42):
            for wy in range(top + 34, 290, 58):
                c.rectangle(wx, wy, wx + 26, wy + 36, "#f6f3e6")
                c.rectangle(wx + 3, wy + 3, wx + 23, wy + 33, "#6f93a8")
    c.rectangle(0, 330, 768, 372, "#c2bdb3")
    c.rectangle(0, 366, 768, 376, "#8f8a82")
    c.rectangle(0, 376, 768, 512, "#54565c")
    for x in range(-20, 780, 110):
        c.rectangle(x, 440, x + 62, 448, "#e9e4cf")
    for x in (60, 708):
        c.rectangle(x - 7, 250, x + 7, 360, "#6a4a2f")
        for dx, dy, r in ((-24, -8, 34), (22, -14, 36), (0, -44, 36)):
            c.ellipse(x + dx, 240 + dy, r, r, "#4f8a48")
    c.line([(566, 200), (566, 360)], "#444a52", 6)
    c.rectangle(542, 190, 590, 232, "#2463a6", 6)
    c.text(566, 212, "BUS", 18, "#ffffff")
    _car(c, 90, 412, 0.9, "#c73a32")
    _car(c, 350, 404, 0.8, "#e3b23c")
    _car(c, 478, 500, 1.2, "#2f6db3")
    return c.finished(7)


def _car(c: Canvas, x: float, ground: float, size: float, paint: str) -> None:
    def at(dx: float, dy: float) -> tuple[float, float]:
        return x + dx * size, ground - dy * size

    c.shadow(*at(110, 2), 116 * size, 9 * size, 0.6)
    c.blob(
        [at(0, 20), at(6, 52), at(50, 62), at(84, 98), at(156, 98), at(190, 62), at(216, 54), at(222, 20)],
        paint,
    )
    c.polygon([at(60, 62), at(88, 90), at(116, 90), at(116, 62)], "#cfe4ee")
    c.polygon([at(124, 62), at(124, 90), at(152, 90), at(178, 62)], "#cfe4ee")
    c.line([at(120, 24), at(120, 60)], DARK, 2 * size)
    c.line([at(128, 52), at(142, 52)], "#f2f2f2", 4 * size)
    c.ellipse(*at(214, 44), 7 * size, 6 * size, "#fff3c4")
    c.ellipse(*at(6, 44), 5 * size, 6 * size, "#a3201b")
    for wheel in (48, 174):
        c.ellipse(*at(wheel, 20), 22 * size, 22 * size, "#1d1e21")
        c.ellipse(*at(wheel, 20), 11 * size, 11 * size, "#b9bec4")


def page() -> Image.Image:
    """A price list: a heading, two lines of text and a table of three columns."""
    c = Canvas(640, 768, "#8a7560", "#6f5c4a")
    c.shadow(326, 392, 280, 350, 0.5)
    c.rectangle(50, 36, 590, 732, "#fdfcf7")
    c.text(320, 100, "GREEN MARKET", 44, "#2e5a34")
    c.line([(110, 134), (530, 134)], "#2e5a34", 3)
    c.text(320, 176, "Prices for Saturday", 28, DARK)
    c.text(320, 222, "Open from 8 to 14", 28, DARK)
    rows = (
        ("Fruit", "Weight", "Price"),
        ("Apples", "1 kg", "2.40"),
        ("Pears", "1 kg", "3.10"),
        ("Plums", "500 g", "1.90"),
        ("Grapes", "500 g", "2.75"),
        ("Cherries", "250 g", "3.60"),
    )
    for index, row in enumerate(rows):
        top = 280 + 62 * index
        c.rectangle(
            92, top, 548, top + 62, "#dfe9d8" if index == 0 else "#fdfcf7" if index % 2 else "#f1f3ea"
        )
        for x, cell in zip((172, 330, 476), row, strict=True):
            c.text(x, top + 31, cell, 26, DARK)
    for index in range(len(rows) + 1):
        c.line([(92, 280 + 62 * index), (548, 280 + 62 * index)], "#5c5a52", 2)
    for x in (92, 252, 408, 548):
        c.line([(x, 280), (x, 280 + 62 * len(rows))], "#5c5a52", 2)
    c.text(320, 692, "Thank you for your visit", 22, "#6b6a63")
    return c.finished(8, 0.8)
