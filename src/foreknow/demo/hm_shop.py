"""How the H&M-shaped shop is laid out and dressed: indexes, sections, departments, colours, patterns.

10 indexes in 5 index groups, 56 sections, 50 colour groups (8 perceived values, 20 masters) and 30 graphical
appearances, as many as in the real data. A department sells one garment group of one section.
"""

from __future__ import annotations

from dataclasses import dataclass

from foreknow.demo.hm_garments import names

__all__ = [
    "APPEARANCES",
    "COLOURS",
    "DEPARTMENT_LINES",
    "GIVEN_NAMES",
    "INDEXES",
    "INDEX_GROUPS",
    "MASTERS",
    "SECTIONS",
    "VALUES",
    "Colour",
    "Index",
    "Section",
]

INDEX_GROUPS: dict[int, str] = {1: "Women", 2: "Youth", 3: "Men", 4: "Children", 26: "Sport"}


@dataclass(frozen=True, kw_only=True)
class Index:
    """A part of the shop, with the age of its typical customer in years."""

    name: str
    group: int
    age: float


INDEXES: dict[str, Index] = {
    "A": Index(name="Womenswear", group=1, age=40),
    "B": Index(name="Lingerie and Tights", group=1, age=36),
    "C": Index(name="Womens Accessories", group=1, age=34),
    "D": Index(name="Youth", group=2, age=22),
    "F": Index(name="Menswear", group=3, age=35),
    "G": Index(name="Baby Sizes 50-98", group=4, age=31),
    "H": Index(name="Children Sizes 92-140", group=4, age=37),
    "I": Index(name="Children Accessories", group=4, age=38),
    "J": Index(name="Teen Sizes 134-170", group=4, age=43),
    "S": Index(name="Sport", group=26, age=29),
}


@dataclass(frozen=True, kw_only=True)
class Section:
    """A shelf of an index and the garment groups it sells, the most typical first."""

    name: str
    index: str
    garments: tuple[str, ...]


def _sections(index: str, text: str) -> list[Section]:
    lines = (line.split(":") for line in text.strip().splitlines())
    return [Section(name=name.strip(), index=index, garments=names(garments)) for name, garments in lines]


SECTIONS: tuple[Section, ...] = (
    *_sections("A", """
        Womens Everyday: Dresses, Trousers, Blouses, Knitwear, Skirts
        Womens Basics: Jersey Basic, Knitwear, Trousers, Shirts
        Womens Tailoring: Tailoring, Blouses, Trousers, Skirts
        Womens Trend: Jersey Fancy, Dresses, Denim, Outdoor, Skirts
        Womens Premium: Blouses, Dresses, Knitwear, Tailoring, Outdoor
        Womens Casual: Jersey Fancy, Denim, Trousers, Shorts, Shirts
        Womens Denim: Denim, Shorts, Skirts, Shirts
        Womens Party: Dresses, Blouses, Skirts, Jersey Fancy
        Womens Weekend: Knitwear, Jersey Basic, Trousers, Outdoor
        Womens Holiday: Dresses, Shorts, Swimwear, Blouses
        Womens Knit Studio: Knitwear, Jersey Basic, Skirts
        Womens Coats: Outdoor, Tailoring, Knitwear
        Womens Plus: Jersey Basic, Dresses, Trousers, Underwear
        Maternity: Jersey Basic, Trousers, Dresses, Nightwear"""),
    *_sections("B", """
        Womens Lingerie: Underwear, Nightwear
        Womens Nightwear: Nightwear, Underwear
        Womens Swimwear: Swimwear, Dresses
        Womens Tights: Socks and Tights, Underwear"""),
    *_sections("C", """
        Womens Shoes: Shoes, Socks and Tights
        Womens Bags: Bags, Accessories
        Womens Jewellery: Accessories, Bags
        Womens Small Accessories: Accessories, Socks and Tights, Bags
        Beauty and Gifts: Beauty and Home, Accessories"""),
    *_sections("D", """
        Youth Basics: Jersey Basic, Trousers, Knitwear
        Youth Denim: Denim, Shorts, Jersey Fancy
        Youth Street: Jersey Fancy, Trousers, Outdoor, Shorts
        Youth Party: Dresses, Skirts, Blouses, Jersey Fancy
        Youth Selected: Shirts, Skirts, Knitwear, Tailoring
        Youth Shoes: Shoes, Socks and Tights
        Youth Accessories: Accessories, Bags, Beauty and Home"""),
    *_sections("F", """
        Mens Basics: Jersey Basic, Trousers, Knitwear
        Mens Casual: Shirts, Trousers, Shorts, Jersey Fancy
        Mens Denim: Denim, Shirts, Jersey Basic
        Mens Suits: Tailoring, Shirts, Trousers
        Mens Premium: Knitwear, Shirts, Tailoring, Outdoor
        Mens Trend: Jersey Fancy, Denim, Outdoor, Trousers
        Mens Outerwear: Outdoor, Knitwear
        Mens Underwear: Underwear, Socks and Tights, Nightwear
        Mens Shoes and Accessories: Shoes, Accessories, Bags"""),
    *_sections("G", """
        Newborn: Nightwear, Jersey Basic, Knitwear
        Baby Essentials: Jersey Basic, Socks and Tights, Underwear
        Baby Girl: Dresses, Jersey Fancy, Trousers, Outdoor
        Baby Boy: Jersey Fancy, Trousers, Denim, Outdoor"""),
    *_sections("H", """
        Kids Girl: Dresses, Jersey Fancy, Trousers, Skirts, Denim
        Kids Boy: Jersey Fancy, Trousers, Denim, Shirts, Shorts
        Kids Outerwear: Outdoor, Knitwear
        Kids Nightwear: Nightwear, Underwear, Socks and Tights"""),
    *_sections("I", """
        Kids Shoes: Shoes, Socks and Tights
        Kids Accessories: Accessories, Bags, Beauty and Home
        Kids Summer: Swimwear, Shorts"""),
    *_sections("J", """
        Teen Girl: Jersey Fancy, Denim, Dresses, Skirts
        Teen Boy: Jersey Fancy, Denim, Trousers, Shirts
        Teen Basics: Jersey Basic, Trousers, Underwear, Knitwear"""),
    *_sections("S", """
        Womens Sport: Activewear, Jersey Basic, Underwear
        Mens Sport: Activewear, Shorts, Jersey Basic
        Kids Sport: Activewear, Outdoor"""),
)  # fmt: skip

DEPARTMENT_LINES: tuple[str, ...] = ("", "Studio", "Essentials", "Fashion", "Projects", "Collection")
"""What a section's second, third, ... department for the same garment group is called."""

_HUES = names("""
    Blue, Beige, Pink, Grey, Green, Red, Yellow, Khaki, Brown, Orange, Lilac, Turquoise, Purple, Mole,
    Bluish Green
""")
_PLAIN = ("Black", "White", "Off White", "Gold", "Silver")

MASTERS: tuple[str, ...] = _PLAIN + _HUES
VALUES: tuple[str, ...] = (
    "Undefined",
    "Dark",
    "Deep",
    "Medium",
    "Medium Dusty",
    "Bright",
    "Light",
    "Dusty Light",
)
SHADES: dict[str, tuple[str, ...]] = {
    "": ("Medium", "Medium Dusty", "Bright"),
    "Dark": ("Dark", "Deep"),
    "Light": ("Light", "Dusty Light"),
}
"""How the shades of a hue are perceived."""


@dataclass(frozen=True, kw_only=True)
class Colour:
    """A colour group: its master colour and the ways its lightness is perceived."""

    name: str
    master: str
    values: tuple[str, ...]


COLOURS: tuple[Colour, ...] = (
    *(Colour(name=name, master=name, values=("Undefined",)) for name in _PLAIN),
    *(
        Colour(name=f"{shade} {hue}".strip(), master=hue, values=values)
        for hue in _HUES
        for shade, values in SHADES.items()
    ),
)

APPEARANCES: tuple[str, ...] = names("""
    Solid, All over pattern, Melange, Stripe, Denim, Front print, Placement print, Check, Colour blocking,
    Lace, Dot, Embroidery, Jacquard, Animal print, Floral print, Glitter, Metallic, Contrast, Mesh, Sequin,
    Camouflage, Treatment, Mixed solid, Chambray, Application, Transparent, Tie-dye, Slub, Argyle, Hologram
""")

GIVEN_NAMES: tuple[str, ...] = names("""
    Ada, Alba, Alma, Amy, Anni, Aria, Asta, Ava, Bea, Bella, Britt, Cleo, Cora, Dana, Dixie, Ebba, Edie,
    Ella, Elsa, Emmy, Erin, Etta, Eva, Fay, Fia, Flora, Freja, Gia, Greta, Hanna, Hazel, Hedda, Ida, Ines,
    Iris, Isla, Ivy, Jade, Jill, Joan, June, Kaya, Kim, Klara, Lea, Leo, Lily, Liv, Lou, Luna, Mae, Maja,
    Mara, Maud, Mila, Mina, Moa, Nell, Nia, Noa, Nora, Olga, Opal, Otis, Pearl, Pia, Polly, Rae, Remy, Rita,
    Rosa, Ruby, Runa, Saga, Sia, Signe, Siri, Skye, Stina, Svea, Tara, Tess, Thea, Tilda, Tove, Tuva, Una,
    Uma, Vera, Vida, Vilma, Wilma, Xenia, Ylva, Yra, Zara, Zoe
""")
