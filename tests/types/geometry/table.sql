CREATE TABLE t (id INT PRIMARY KEY, g GEOMETRY, p POINT);
INSERT INTO t VALUES
    (1, ST_GeomFromText('POINT(1 2)'), ST_GeomFromText('POINT(0 0.5)', 3857)),
    (2, ST_GeomFromText('POINT(-180 -90.5)'), ST_GeomFromText('POINT(1 0.5)', 3857)),
    (3, ST_GeomFromText('LINESTRING(0 0,1 1,2 0)'), ST_GeomFromText('POINT(2 0.5)', 3857)),
    (4, ST_GeomFromText('POLYGON((0 0,4 0,4 4,0 4,0 0),(1 1,2 1,2 2,1 2,1 1))'), ST_GeomFromText('POINT(3 0.5)', 3857)),
    (5, ST_GeomFromText('MULTIPOINT(0 0,1 1)'), ST_GeomFromText('POINT(4 0.5)', 3857)),
    (6, ST_GeomFromText('MULTILINESTRING((0 0,1 1),(2 2,3 3))'), ST_GeomFromText('POINT(5 0.5)', 3857)),
    (7, ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5)))'), ST_GeomFromText('POINT(6 0.5)', 3857)),
    (8, ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))'), ST_GeomFromText('POINT(7 0.5)', 3857)),
    (9, ST_GeomFromText('POINT(20 20)', 4326), ST_GeomFromText('POINT(10 20)', 3857)),
    (10, NULL, NULL);
